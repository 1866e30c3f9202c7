import { parseEventId } from "@kata/protocol";
import { createPublisher, type Publisher } from "@kata/publisher";
import { describe, expect, it } from "vitest";
import { caughtUp, clientOf, collect, entry, numbers } from "../client/setup.ts";
import { startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { startNatsProxy } from "../support/nats-proxy.ts";
import type { RawClient } from "../support/raw-client.ts";
import { cutTail } from "../support/store-files.ts";
import { arrived, gapsOf, openLiveReader, openReader, PATIENCE } from "./readers.ts";

const CHANNEL = "team:demo";
const QUIET = "agent:quiet";
const STORED = 20;
const LOST = 5;

/** NATS with a log that loses its tail, and a broker that reaches it through a proxy. */
async function startScene() {
  const nats = await startNats();
  const proxy = await startNatsProxy(nats);
  // Without audits: what follows an outage alone must find it out.
  const broker = await startBroker({ nats: proxy, config: { auditIntervalMs: 600_000, natsTimeoutMs: 1_000 } });
  const publisher = await createPublisher({ servers: nats.url, teamId: broker.teamId });
  return {
    nats,
    proxy,
    broker,
    publisher,
    /** Stops NATS, takes the last records out of its files, and starts it again; the broker is kept away. */
    async loseTail(fromEventId: string): Promise<void> {
      proxy.refuse(true);
      await nats.stop();
      expect(await cutTail(nats.storeDirectory ?? "", seqOf(fromEventId))).toBe(LOST);
      await nats.start();
    },
    async letBrokerBack(): Promise<void> {
      proxy.refuse(false);
      await expect.poll(async () => (await fetch(`${broker.httpUrl}/readyz`)).status, PATIENCE).toBe(200);
    },
    async [Symbol.asyncDispose]() {
      await publisher.close();
      await broker.close();
      await proxy[Symbol.asyncDispose]();
      await nats[Symbol.asyncDispose]();
    },
  };
}

function seqOf(eventId: string): number {
  return parseEventId(eventId)?.seq ?? 0;
}

/** One record each, so that each has a sequence. */
async function publish(publisher: Publisher, channel: string, messages: readonly string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const message of messages) ids.push((await publisher.publish(channel, entry(message))).eventId);
  return ids;
}

/** What a reader was sent of a channel: events by their message, and what it was told of its place. */
function story(socket: RawClient, channel: string): string[] {
  return socket.messages.flatMap((message) => {
    if (!("channel" in message) || message.channel !== channel) return [];
    const payload = message.payload as { message?: string; recovery?: string; reason?: string };
    if (message.type === "subscribed") return [`${payload.recovery}${payload.reason ? `: ${payload.reason}` : ""}`];
    return message.type === "log_entry" ? [payload.message ?? ""] : [];
  });
}

const kept = numbers(STORED - LOST);
/** What stands under the sequences of the lost ones afterwards, and beyond them. */
const others = numbers(LOST + 3, 101);

const SOME_GAP: unknown = expect.stringMatching(/^gap: /);
/** [RESUME-4] While nothing stands at the lost place it is beyond the end of the log. */
const GONE: unknown = expect.stringMatching(/^gap: (unknown|rewritten)$/);

// The files of a server in a container are out of reach.
const describeWithFiles = describe.skipIf(process.env.KATA_TEST_NATS === "container");

describeWithFiles("attacks invariant 2: NATS loses the tail of its log and gives the places away", () => {
  it.each([
    ["that comes back after they were stored", true],
    ["that comes back before they are stored", false],
  ])(
    "who stayed connected to a broker %s is told a gap before anything else [RESUME-6]",
    async (_when, storedFirst) => {
      await using scene = await startScene();
      const { broker, publisher } = scene;
      await publish(publisher, QUIET, ["early"]);
      await using quiet = await openLiveReader(broker, QUIET);
      await using socket = await openLiveReader(broker, CHANNEL);
      const client = clientOf(broker);
      const live = caughtUp(client, CHANNEL);
      const handed = collect(client, CHANNEL);
      await client.connect();
      await live;
      const ids = await publish(publisher, CHANNEL, numbers(STORED));
      await arrived(socket, CHANNEL, ids.at(-1) ?? "");
      await handed.reaches(STORED);

      await scene.loseTail(ids[STORED - LOST] ?? "");
      if (!storedFirst) await scene.letBrokerBack();
      const otherIds = await publish(publisher, CHANNEL, others);
      const late = await publish(publisher, QUIET, ["late"]);
      if (storedFirst) await scene.letBrokerBack();

      expect(otherIds.slice(0, LOST).map(seqOf)).toEqual(ids.slice(-LOST).map(seqOf));
      await arrived(socket, CHANNEL, otherIds.at(-1) ?? "");
      // Where the broker looks while the others are being stored, the reason depends on what it sees.
      const toldAndLeft = [storedFirst ? "gap: rewritten" : SOME_GAP, ...kept, ...others];
      expect(story(socket, CHANNEL)).toEqual(["fresh", ...numbers(STORED), ...toldAndLeft]);
      await handed.reaches(STORED + toldAndLeft.length);
      expect(handed.log).toEqual([...numbers(STORED), ...toldAndLeft]);
      // Nothing of this channel was lost, and the place that was last known of it stands.
      await arrived(quiet, QUIET, late.at(-1) ?? "");
      expect(story(quiet, QUIET)).toEqual(["fresh", "late"]);
      expect([socket, quiet].map((each) => each.socket.readyState)).toEqual([1, 1]);
      expect(client.stats).toMatchObject({ connections: 1, gaps: 1 });
    },
  );

  it("who stayed is told even if an event comes, and fits, before the broker has looked at the log", async () => {
    await using scene = await startScene();
    const { broker, proxy, publisher } = scene;
    await using socket = await openLiveReader(broker, CHANNEL);
    const ids = await publish(publisher, CHANNEL, numbers(STORED));
    await arrived(socket, CHANNEL, ids.at(-1) ?? "");
    await scene.loseTail(ids[STORED - LOST] ?? "");
    // As many as were lost: the next one follows the sequence at which the broker stands.
    const otherIds = await publish(publisher, CHANNEL, others.slice(0, LOST));
    expect(otherIds.map(seqOf)).toEqual(ids.slice(-LOST).map(seqOf));
    // The broker asks, which it does when it has subscribed again, and gets no answer before the event comes.
    const answers = proxy.swallow(({ subject }) => subject.startsWith("_INBOX."));
    proxy.refuse(false);
    await answers.reaches(1);
    const passed = proxy.passes(JSON.stringify(entry("next").payload), "server");
    await publish(publisher, CHANNEL, ["next"]);
    await passed;
    answers.stop();
    const last = await publish(publisher, CHANNEL, ["last"]);
    await arrived(socket, CHANNEL, last.at(-1) ?? "");
    expect(story(socket, CHANNEL)).toEqual([
      "fresh",
      ...numbers(STORED),
      ...["gap: rewritten", ...kept, ...others.slice(0, LOST), "next", "last"],
    ]);
  });

  it("who stayed is told even if nothing at all is stored afterwards, and so is who comes back then", async () => {
    await using scene = await startScene();
    const { broker, publisher } = scene;
    await using socket = await openLiveReader(broker, CHANNEL);
    const ids = await publish(publisher, CHANNEL, numbers(STORED));
    await arrived(socket, CHANNEL, ids.at(-1) ?? "");
    await scene.loseTail(ids[STORED - LOST] ?? "");
    await scene.letBrokerBack();
    await expect.poll(() => gapsOf(socket, CHANNEL), PATIENCE).toHaveLength(1);
    await arrived(socket, CHANNEL, ids[kept.length - 1] ?? "");
    expect(story(socket, CHANNEL)).toEqual(["fresh", ...numbers(STORED), GONE, ...kept]);
    await using back = await openReader(broker, CHANNEL, { lastEventId: ids.at(-1) ?? "" });
    await arrived(back, CHANNEL, ids[kept.length - 1] ?? "");
    expect(story(back, CHANNEL)).toEqual(["gap: unknown", ...kept]);
  });

  it.each([
    ["the broker that has seen them all", false],
    ["a broker that knows nothing", true],
  ])(
    "who comes back to %s gets a gap if its anchor was lost, and goes on without one if it was not [RESUME-1] [RESUME-4]",
    async (_which, fresh) => {
      await using scene = await startScene();
      const { nats, publisher } = scene;
      await using witness = await openLiveReader(scene.broker, CHANNEL);
      const ids = await publish(publisher, CHANNEL, numbers(STORED));
      await arrived(witness, CHANNEL, ids.at(-1) ?? "");
      await scene.loseTail(ids[STORED - LOST] ?? "");
      const otherIds = await publish(publisher, CHANNEL, others);
      await scene.letBrokerBack();
      // By then the broker has noticed.
      await arrived(witness, CHANNEL, otherIds.at(-1) ?? "");
      await using newcomer = await startBroker({ nats });
      const broker = fresh ? newcomer : scene.broker;
      for (let at = 0; at < STORED; at++) {
        const expected = at < kept.length ? ["complete", ...kept.slice(at + 1)] : ["gap: rewritten", ...kept];
        await using socket = await openReader(broker, CHANNEL, { lastEventId: ids[at] ?? "" });
        await arrived(socket, CHANNEL, otherIds.at(-1) ?? "");
        expect(story(socket, CHANNEL), `after event ${at + 1}`).toEqual([...expected, ...others]);
      }
      const client = clientOf(broker);
      const handed = collect(client, CHANNEL, { lastEventId: ids.at(-1) });
      await client.connect();
      await handed.reaches(1 + kept.length + others.length);
      expect(handed.log).toEqual(["gap: rewritten", ...kept, ...others]);
    },
  );
});
