import { createPublisher } from "@kata/publisher";
import { describe, expect, it } from "vitest";
import { caughtUp, clientOf, collect, entry, numbers } from "../client/setup.ts";
import { startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { type NatsMessage, startNatsProxy } from "../support/nats-proxy.ts";
import { REPEAT, seededRandom } from "../support/random.ts";
import { startLoad } from "./load.ts";
import { expectExactly, NDJSON, openLiveReader, openReader, V1 } from "./readers.ts";

const CHANNEL = "team:demo";
const AUDITED = { auditIntervalMs: 50 };
/** An audit never comes: what repairs is something else. */
const UNAUDITED = { auditIntervalMs: 3_600_000 };

/** A broker behind a proxy that can swallow what NATS sends it; publishers go past the proxy. */
async function startScene(config: { auditIntervalMs: number; natsTimeoutMs?: number; pageRecords?: number }) {
  const nats = await startNats();
  const proxy = await startNatsProxy(nats);
  const broker = await startBroker({ nats: proxy, config });
  const publisher = await createPublisher({ servers: nats.url, teamId: broker.teamId });
  return {
    proxy,
    broker,
    publisher,
    async publish(...messages: string[]): Promise<string[]> {
      const ids: string[] = [];
      // One by one: each is a record of its own.
      for (const message of messages) ids.push((await publisher.publish(CHANNEL, entry(message))).eventId);
      return ids;
    },
    async [Symbol.asyncDispose]() {
      await publisher.close();
      await broker.close();
      await proxy[Symbol.asyncDispose]();
      await nats[Symbol.asyncDispose]();
    },
  };
}

/** What the stream republished with this text in it. */
const republished =
  (text: string) =>
  ({ subject, payload }: NatsMessage): boolean =>
    subject === "live.kata.team.demo" && payload.includes(text);

describe("attacks invariants 1 and 3: a republished message never reaches the broker", () => {
  it("the last one: the audit finds it though nothing follows, for sockets and for the SDK", async () => {
    await using scene = await startScene(AUDITED);
    const { broker, proxy } = scene;
    await using socket = await openLiveReader(broker, CHANNEL);
    const client = clientOf(broker);
    const live = caughtUp(client, CHANNEL);
    const handed = collect(client, CHANNEL);
    await client.connect();
    await live;
    const ids = await scene.publish("one", "two");
    const swallowed = proxy.swallowNext(republished("three"));
    ids.push(...(await scene.publish("three")));
    await swallowed;
    await expectExactly(socket, CHANNEL, ids);
    await handed.reaches(3);
    expect(handed.log).toEqual(["one", "two", "three"]);
  });

  it("the only one there ever was", async () => {
    await using scene = await startScene(AUDITED);
    await using socket = await openLiveReader(scene.broker, CHANNEL);
    const swallowed = scene.proxy.swallowNext(republished("first"));
    const ids = await scene.publish("first");
    await swallowed;
    await expectExactly(socket, CHANNEL, ids);
  });

  it("one in the middle: the next one that comes brings it back, before itself", async () => {
    await using scene = await startScene(UNAUDITED);
    await using socket = await openLiveReader(scene.broker, CHANNEL);
    const swallowed = scene.proxy.swallowNext(republished("two"));
    const ids = await scene.publish("one", "two", "three", "four");
    await swallowed;
    await expectExactly(socket, CHANNEL, ids);
  });

  it("six hundred in a row, more than a page of history: the next one brings all of them back", async () => {
    await using scene = await startScene(UNAUDITED);
    await using socket = await openLiveReader(scene.broker, CHANNEL);
    const swallowing = scene.proxy.swallow(republished("gone"));
    const ids = await scene.publish("here", ...numbers(600).map((n) => `gone ${n}`));
    await swallowing.reaches(600);
    ids.push(...(await scene.publish("there")));
    await expectExactly(socket, CHANNEL, ids);
  });

  it("a hundred in a row, and what is stored while they are read comes from both sides, and once", async () => {
    // Pages of two: the last one of an odd number of records has room for one that the broker did not ask for.
    await using scene = await startScene({ ...UNAUDITED, pageRecords: 2 });
    const { proxy } = scene;
    await using socket = await openLiveReader(scene.broker, CHANNEL);
    const swallowing = proxy.swallow(republished("gone"));
    const ids = await scene.publish("here", ...numbers(100).map((n) => `gone ${n}`));
    await swallowing.reaches(100);
    const reading = proxy.passes('"next_by_subj"', "client");
    ids.push(...(await scene.publish("there")));
    await reading;
    ids.push(...(await scene.publish("meanwhile", "afterwards")));
    await expectExactly(socket, CHANNEL, ids);
  });

  it.each(Array.from({ length: REPEAT }, (_, i) => i + 1))(
    "one in five, at random, on three channels at full speed: every event once, in order (%i)",
    { timeout: 120_000 },
    async () => {
      const random = seededRandom();
      await using scene = await startScene(AUDITED);
      const { broker, proxy, publisher } = scene;
      const channels = [CHANNEL, "agent:build", "spec:search"];
      const readers = [];
      for (const channel of channels) {
        for (const protocols of [V1, NDJSON]) readers.push(await openLiveReader(broker, channel, { protocols }));
      }
      const swallowing = proxy.swallow(({ subject }) => subject.startsWith("live.") && random() < 0.2);
      const loads = channels.map((channel) => startLoad(publisher, channel, random));
      await Promise.all(loads.map((load) => load.reaches(5_000)));
      for (const channel of channels) readers.push(await openReader(broker, channel, { rewind: "all" }));
      await Promise.all(loads.map((load) => load.reaches(15_000)));
      await Promise.all(loads.map((load) => load.stop()));
      expect(swallowing.count).toBeGreaterThan(100);
      for (const [i, socket] of readers.entries()) {
        const load = loads[i < 6 ? Math.floor(i / 2) : i - 6];
        await expectExactly(socket, load?.channel ?? "", load?.acked ?? []);
        await socket[Symbol.asyncDispose]();
      }
    },
  );
});

describe("attacks invariant 1: a piece of an answer of the log never reaches the broker", () => {
  it.each([
    ["in the middle of a page of history", "150"],
    ["at the start of it", "2"],
    ["at its end", "300"],
  ])("%s: the page is read again, nothing is skipped", async (_where, message) => {
    await using scene = await startScene({ ...UNAUDITED, natsTimeoutMs: 500 });
    const { broker, proxy } = scene;
    const ids = await scene.publish(...numbers(300));
    const piece = proxy.swallowNext(
      ({ subject, payload }) => subject.startsWith("_INBOX.") && payload.includes(JSON.stringify({ message })),
    );
    await using socket = await openReader(broker, CHANNEL, { lastEventId: ids[0] ?? "" });
    await piece;
    await expectExactly(socket, CHANNEL, ids.slice(1));
  });

  it("in an audit, about the only event that a channel ever had: it is asked for again", async () => {
    await using scene = await startScene({ ...AUDITED, natsTimeoutMs: 500 });
    const { broker, proxy, publisher } = scene;
    await using socket = await openLiveReader(broker, CHANNEL);
    const swallowing = proxy.swallow(({ subject, headers, payload }) => {
      const piece = subject.startsWith("_INBOX.") && headers.includes("Nats-Num-Pending");
      return payload.includes("only") && (piece || subject.startsWith("live."));
    });
    const ids = await scene.publish("only");
    // So that the audit, which asks for the log's newest record too, would notice nothing from that one's absence.
    await publisher.publish("agent:other", entry("newest"));
    // Two audits more, as one may have been under way; unless the event has been found already, whatever was swallowed.
    await Promise.race([swallowing.reaches(swallowing.count + 2), socket.events(CHANNEL, 1)]);
    swallowing.stop();
    await expectExactly(socket, CHANNEL, ids);
  });
});
