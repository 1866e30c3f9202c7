import { createPublisher, type PublisherOptions } from "@kata/publisher";
import { expect, test, vi } from "vitest";
import { startNats } from "../support/nats.ts";
import { brokerUrl } from "../support/nats-secrets.ts";
import { startProxy } from "../support/proxy.ts";
import { ensureTestStream, readLog } from "../support/stream.ts";
import { numbersOf, TEAM, upTo } from "./rig.ts";

const event = (i: number, length = 0) => ({ type: "log_entry", payload: { message: "x".repeat(length), i } });

/** A nats-server behind a proxy, which says to clients what the server takes in one message. */
async function startSaying(maxPayload: number) {
  const said = { maxPayload };
  const nats = await startNats();
  await ensureTestStream(nats.url);
  const proxy = await startProxy({ port: nats.port }, () => ({
    fromClient: (chunk) => chunk,
    fromServer(chunk) {
      // It is said twice: at first, and behind the answer to the client's credentials.
      const text = chunk.toString("latin1");
      return Buffer.from(text.replaceAll(/"max_payload":\d+/g, `"max_payload":${said.maxPayload}`), "latin1");
    },
  }));
  return {
    nats,
    proxy,
    said,
    publisher: (options: PublisherOptions = {}) =>
      createPublisher({ servers: brokerUrl(proxy.port), teamId: TEAM, ackTimeoutMs: 500, ...options }),
    [Symbol.asyncDispose]: async () => {
      await proxy[Symbol.asyncDispose]();
      await nats[Symbol.asyncDispose]();
    },
  };
}

test("records that fill up while NATS is away fit what it took before", async () => {
  await using world = await startSaying(16_384);
  await using publisher = await world.publisher();
  await publisher.publish("agent:a1", event(0));
  world.proxy.refuse(true);
  world.proxy.cut();
  await vi.waitFor(() => expect(publisher.stats.connected).toBe(false));
  const published = upTo(100).map((i) => publisher.publish("agent:a1", event(i + 1, 600)));
  await expect(publisher.publish("agent:a1", event(101, 20_000))).rejects.toMatchObject({ code: "too_large" });
  world.proxy.refuse(false);
  await Promise.all(published);
  expect(numbersOf(await readLog(world.nats.url))).toEqual(upTo(101));
});

test("NATS takes less when it is back: what it had stored before is found, not said to be too large", async () => {
  await using world = await startSaying(1_048_576);
  await using publisher = await world.publisher();
  await publisher.publish("agent:a1", event(0));
  const lost = world.proxy.cutAfter(1, "server").then(() => world.proxy.refuse(true));
  const published = publisher.publish("agent:a1", event(1, 8_000));
  await lost;
  world.said.maxPayload = 4_096;
  world.proxy.refuse(false);
  const { eventId, duplicate } = await published;
  const log = await readLog(world.nats.url);
  expect(numbersOf(log)).toEqual([0, 1]);
  expect({ eventId, duplicate }).toEqual({ eventId: log.at(-1)?.eventIds[0], duplicate: false });
});

test("NATS takes less when it is back: of however many channels each is told, and none is held up", async () => {
  await using world = await startSaying(1_048_576);
  await using publisher = await world.publisher();
  await publisher.publish("agent:a1", event(0));
  world.proxy.refuse(true);
  world.proxy.cut();
  await vi.waitFor(() => expect(publisher.stats.connected).toBe(false));
  const outcomes = Promise.allSettled(upTo(4_000).map((i) => publisher.publish(`agent:b${i}`, event(i, 8_000))));
  world.said.maxPayload = 4_096;
  world.proxy.refuse(false);
  const codes = new Set<string>();
  for (const outcome of await outcomes) {
    codes.add(outcome.status === "fulfilled" ? "stored" : `${outcome.reason.code} ${outcome.reason.stored}`);
  }
  expect([...codes]).toEqual(["too_large no"]);
  expect(publisher.stats).toMatchObject({ queuedEvents: 0, queuedBytes: 0, channels: 0 });
  await publisher.publish("agent:b1", event(1));
});
