import { parseEventId } from "@kata/protocol";
import { createPublisher, type Publisher } from "@kata/publisher";
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startBroker, TEST_KEY, type TestBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { seededRandom } from "../support/random.ts";
import { connectRaw, eventsOf, type RawClient } from "../support/raw-client.ts";
import { recreateTestStream } from "../support/stream.ts";

let nats: TestNats;
let broker: TestBroker;
let publisher: Publisher;
let nc: NatsConnection;

beforeEach(async () => {
  nats = await startNats();
  broker = await startBroker({ nats, config: { auditIntervalMs: 100 } });
  publisher = await createPublisher({ servers: nats.url, teamId: "demo" });
  nc = await connectNats(nats.url, { maxReconnectAttempts: -1, reconnectTimeWait: 50 });
});

afterEach(async () => {
  await publisher?.close();
  await nc?.close();
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

const CHANNEL = "team:demo";
const log = (message: string) => ({ type: "log_entry", payload: { message } }) as const;
const client = (protocols: string[] = ["kata.v1"], strict = true) =>
  connectRaw({ wsUrl: broker.wsUrl, apiKey: TEST_KEY, protocols, strict });
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => log(`${from + i}`));

function seen(socket: RawClient, channel = CHANNEL): number[] {
  return eventsOf(socket.messages, channel).map((event) => Number((event.payload as { message: string }).message));
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

async function resume(socket: RawClient, lastEventId: string, channel = CHANNEL) {
  socket.send({ type: "subscribe", channel, lastEventId });
  return socket.nextOf("subscribed");
}

describe("[RESUME-1] resume", () => {
  it("goes on after any event of any record, exactly", async () => {
    const single = await publisher.publish(CHANNEL, log("0"));
    const many = await publisher.publishMany(CHANNEL, numbers(1, 300));
    await publisher.publish(CHANNEL, log("300"));
    const ids = [single, ...many].map((each) => each.eventId);
    for (const protocols of [["kata.v1"], ["kata.v1.ndjson"]]) {
      for (const from of [0, 1, 2, 150, 298, 299]) {
        await using socket = await client(protocols);
        const lastEventId = ids[from] as string;
        const subscribed = await resume(socket, lastEventId);
        expect(subscribed).toMatchObject({ eventId: lastEventId, payload: { recovery: "complete" } });
        await socket.nextOf("caught_up");
        expect(seen(socket)).toEqual(range(from + 1, 301));
      }
    }
  });

  it("works from the broker's memory and from the log alike", async () => {
    const early = await publisher.publish(CHANNEL, log("0"));
    await using warm = await client();
    warm.send({ type: "subscribe", channel: CHANNEL });
    await warm.nextOf("caught_up");
    await publisher.publishMany(CHANNEL, numbers(1, 50));
    const events = await warm.events(CHANNEL, 49);
    await using fromMemory = await client();
    await resume(fromMemory, events[9]?.eventId as string);
    await using fromLog = await client();
    await resume(fromLog, early.eventId);
    for (const socket of [fromMemory, fromLog]) await socket.nextOf("caught_up");
    expect(seen(fromMemory)).toEqual(range(11, 50));
    expect(seen(fromLog)).toEqual(range(1, 50));
  });

  it("[ID-4] takes an event of another channel as a place in the log", async () => {
    await publisher.publish(CHANNEL, log("0"));
    const [, , elsewhere] = await publisher.publishMany("agent:other", numbers(0, 5));
    await publisher.publish(CHANNEL, log("1"));
    await using socket = await client();
    expect((await resume(socket, elsewhere?.eventId as string)).payload.recovery).toBe("complete");
    await socket.nextOf("caught_up");
    expect(seen(socket)).toEqual([1]);
  });

  it("[ID-3] takes the origin as the place before everything", async () => {
    const { eventId } = await publisher.publish(CHANNEL, log("0"));
    await using socket = await client();
    expect((await resume(socket, `${parseEventId(eventId)?.epoch}-0-0000`)).payload.recovery).toBe("complete");
    await socket.nextOf("caught_up");
    expect(seen(socket)).toEqual([0]);
  });

  it("takes the place of a quiet channel, before its first event ever", async () => {
    for (const warmUp of [false, true]) {
      if (warmUp) await publisher.publish("agent:busy", log("0"));
      await using quiet = await client();
      const channel = `agent:quiet-${warmUp}`;
      quiet.send({ type: "subscribe", channel });
      const { eventId } = await quiet.nextOf("subscribed");
      await publisher.publish(channel, log("7"));
      await using later = await client();
      expect((await resume(later, eventId, channel)).payload.recovery).toBe("complete");
      await later.events(channel, 1);
      await later.nextOf("caught_up");
      expect(seen(later, channel)).toEqual([7]);
    }
  });

  it("takes an acknowledged eventId that the live feed has not brought yet, and sends nothing up to it again", async () => {
    await using reader = await client();
    reader.send({ type: "subscribe", channel: CHANNEL });
    await reader.nextOf("caught_up");
    for (let i = 0; i < 200; i++) {
      const { eventId } = await publisher.publish(CHANNEL, log(`${i}`));
      await using socket = await client();
      expect((await resume(socket, eventId)).payload.recovery).toBe("complete");
      await socket.nextOf("caught_up");
      socket.send({ type: "ping" });
      await socket.nextOf("pong");
      expect(seen(socket)).toEqual([]);
      if (i % 50 === 0) await reader.events(CHANNEL, i + 1);
    }
  });

  it("attacks invariant 1: readers that come at any moment of a full-speed stream get every event once, in order", async () => {
    const random = seededRandom();
    const total = 20_000;
    const anchors: string[] = [(await publisher.publish(CHANNEL, log("0"))).eventId];
    const publishing = (async () => {
      for (let i = 1; i < total; i += 50) {
        const acked = await publisher.publishMany(CHANNEL, numbers(i, Math.min(total, i + 50)));
        anchors.push(...acked.map((each) => each.eventId));
      }
    })();
    const readers: { socket: RawClient; from: number }[] = [];
    while (anchors.length < total) {
      const from = Math.floor(random() * anchors.length);
      const socket = await client(readers.length % 2 === 0 ? ["kata.v1"] : ["kata.v1.ndjson"], false);
      readers.push({ socket, from });
      await resume(socket, anchors[from] as string);
      if (readers.length === 24) break;
    }
    await publishing;
    for (const { socket, from } of readers) {
      await socket.events(CHANNEL, total - 1 - from);
      expect(seen(socket), `reader from ${from}`).toEqual(range(from + 1, total));
      await socket[Symbol.asyncDispose]();
    }
  });
});

describe("[RESUME-2] [RESUME-3] [RESUME-4] gaps", () => {
  it.each([
    ["malformed", () => "nonsense"],
    ["beyond the end", (id: string) => id.replace(/-\d+-/, "-999999-")],
    ["beyond its record", (id: string) => `${id}.5`],
    ["an origin with a check", (id: string) => id.replace(/-\d+-.{4}$/, "-0-abcd")],
  ])("unknown: an id that is %s", async (_what, forge) => {
    const { eventId } = await publisher.publish(CHANNEL, log("0"));
    await using socket = await client();
    const subscribed = await resume(socket, forge(eventId));
    expect(subscribed.payload).toEqual({ recovery: "gap", reason: "unknown" });
    await socket.nextOf("caught_up");
    expect(seen(socket)).toEqual([0]);
  });

  it("rewritten: another message stands at the anchor", async () => {
    const { eventId } = await publisher.publish(CHANNEL, log("0"));
    const other = eventId.endsWith("zzzz") ? "yyyy" : "zzzz";
    await using socket = await client();
    const subscribed = await resume(socket, eventId.replace(/.{4}$/, other));
    expect(subscribed.payload).toEqual({ recovery: "gap", reason: "rewritten" });
    await socket.nextOf("caught_up");
    expect(seen(socket)).toEqual([0]);
  });

  it("expired: the anchor was trimmed; what exists follows, from a place that can be resumed", async () => {
    const ids = [];
    for (let i = 0; i < 20; i++) ids.push((await publisher.publish(CHANNEL, log(`${i}`))).eventId);
    await (await jetstreamManager(nc)).streams.purge("KATA", { seq: 11 });
    await using socket = await client();
    const subscribed = await resume(socket, ids[4] as string);
    expect(subscribed.payload).toEqual({ recovery: "gap", reason: "expired" });
    await socket.nextOf("caught_up");
    expect(seen(socket)).toEqual(range(10, 20));
    await using behind = await client();
    expect((await resume(behind, ids[10] as string)).payload.recovery).toBe("complete");
    await behind.nextOf("caught_up");
    expect(seen(behind)).toEqual(range(11, 20));
  });

  it("reset: the stream was deleted and made anew, noticed by those who come and those who stayed [RESUME-6]", async () => {
    const { eventId } = await publisher.publish(CHANNEL, log("1"));
    await using stayed = await client();
    stayed.send({ type: "subscribe", channel: CHANNEL });
    await stayed.nextOf("caught_up");
    await recreateTestStream(nc);
    const again = await stayed.nextOf("subscribed");
    expect(again.payload).toEqual({ recovery: "gap", reason: "reset" });
    await stayed.nextOf("caught_up");
    const fresh = await createPublisher({ servers: nats.url, teamId: "demo" });
    const published = await fresh.publish(CHANNEL, log("2"));
    await stayed.events(CHANNEL, 1);
    expect(stayed.messages.at(-1)?.eventId).toBe(published.eventId);
    await using came = await client();
    expect((await resume(came, eventId)).payload).toEqual({ recovery: "gap", reason: "reset" });
    await came.nextOf("caught_up");
    expect(seen(came)).toEqual([2]);
    await fresh.close();
  });
});

describe("the live feed", () => {
  it("attacks invariant 3: what was stored and not republished is found by the audit, and by the next event", async () => {
    await using socket = await client();
    socket.send({ type: "subscribe", channel: CHANNEL });
    await socket.nextOf("caught_up");
    await publisher.publish(CHANNEL, log("0"));
    await socket.events(CHANNEL, 1);
    const { streams } = await jetstreamManager(nc);
    const { config } = await streams.info("KATA");
    // By hand: the client library's update would keep what is left out.
    const silence = async () => {
      const { republish: _, ...silent } = config;
      await nc.request("$JS.API.STREAM.UPDATE.KATA", JSON.stringify(silent));
      expect((await streams.info("KATA")).config.republish).toBeUndefined();
    };
    await silence();
    await publisher.publishMany(CHANNEL, numbers(1, 100));
    // Nothing follows: only the audit can find them.
    await socket.events(CHANNEL, 100);
    await broker.close();
    broker = await startBroker({ nats, config: { auditIntervalMs: 600_000 } });
    await using second = await client();
    second.send({ type: "subscribe", channel: CHANNEL });
    await second.nextOf("caught_up");
    await silence();
    await publisher.publishMany(CHANNEL, numbers(100, 200));
    await streams.update("KATA", config);
    await publisher.publish(CHANNEL, log("200"));
    await second.events(CHANNEL, 101);
    expect(seen(second)).toEqual(range(100, 201));
    expect(seen(socket)).toEqual(range(0, 100));
  });

  it("attacks invariant 2: NATS is killed and started again; sockets stay, nothing is lost or doubled", async () => {
    await using socket = await client();
    socket.send({ type: "subscribe", channel: CHANNEL });
    await socket.nextOf("caught_up");
    let count = 0;
    for (let round = 0; round < 3; round++) {
      const before = publisher.publishMany(CHANNEL, numbers(count, count + 500));
      count += 500;
      await nats.kill();
      const during = publisher.publishMany(CHANNEL, numbers(count, count + 500));
      count += 500;
      await nats.start();
      await Promise.all([before, during]);
    }
    await socket.events(CHANNEL, count);
    expect(seen(socket)).toEqual(range(0, count));
    expect(socket.socket.readyState).toBe(socket.socket.OPEN);
  });

  it("[SUBSCRIBE-8] a subscribe while NATS is away waits, and is answered when it is back", async () => {
    const { eventId } = await publisher.publish(CHANNEL, log("0"));
    await using socket = await client();
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
    await nats.kill();
    socket.send({ type: "subscribe", channel: CHANNEL, lastEventId: eventId });
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
    expect(socket.messages.some((message) => message.type === "subscribed")).toBe(false);
    await nats.start();
    expect((await socket.nextOf("subscribed")).payload.recovery).toBe("complete");
    await socket.nextOf("caught_up");
  });

  it("[PING-1] pong names a place up to which the quiet channel is complete, and it can be resumed from", async () => {
    await publisher.publish(CHANNEL, log("0"));
    await using socket = await client();
    socket.send({ type: "subscribe", channel: CHANNEL });
    const { eventId } = await socket.nextOf("subscribed");
    const elsewhere = await publisher.publish("agent:busy", log("1"));
    const pong = async () => {
      socket.send({ type: "ping" });
      return (await socket.nextOf("pong")).eventId;
    };
    await expect.poll(pong, { timeout: 10_000 }).not.toBe(eventId);
    expect(await pong()).toBe(elsewhere.eventId);
    await using later = await client();
    expect((await resume(later, elsewhere.eventId)).payload.recovery).toBe("complete");
  });
});

/** Events of four kilobytes: some megabytes of them are more than a socket and the system take. */
async function publishLong(channel: string, total: number): Promise<void> {
  const text = "x".repeat(4_000);
  for (let i = 0; i < total; i += 500) {
    const events = Array.from({ length: 500 }, (_, j) => {
      return { type: "log_entry", payload: { message: `${i + j}`, text } } as const;
    });
    await publisher.publishMany(channel, events);
  }
}

describe("a slow reader", () => {
  it("attacks invariant 4: one that stops reading loses nothing and slows nobody", async () => {
    await using slow = await client(["kata.v1.ndjson"]);
    await using quick = await client(["kata.v1.ndjson"]);
    for (const socket of [slow, quick]) {
      socket.send({ type: "subscribe", channel: CHANNEL });
      await socket.nextOf("caught_up");
    }
    slow.socket.pause();
    const total = 10_000;
    await publishLong(CHANNEL, total);
    await quick.events(CHANNEL, total);
    expect(seen(quick)).toEqual(range(0, total));
    expect(seen(slow).length).toBeLessThan(total);
    slow.socket.resume();
    await slow.events(CHANNEL, total);
    expect(seen(slow)).toEqual(range(0, total));
  });

  it("attacks invariant 4: the backlog of one channel does not hold up another channel of the same socket", async () => {
    // All in memory: what is read from the log gives way to others by itself.
    await broker.close();
    broker = await startBroker({ nats, config: { ringBytes: 64 * 1024 * 1024 } });
    await using socket = await client(["kata.v1.ndjson"]);
    for (const channel of [CHANNEL, "agent:other"]) {
      socket.send({ type: "subscribe", channel });
      await socket.nextOf("caught_up");
    }
    socket.socket.pause();
    const total = 10_000;
    await publishLong(CHANNEL, total);
    // More than the socket takes: both channels have fallen behind.
    const others = 500;
    await publishLong("agent:other", others);
    socket.socket.resume();
    await socket.events("agent:other", others);
    expect(seen(socket).length).toBeLessThan(total);
    await socket.events(CHANNEL, total);
    expect(seen(socket)).toEqual(range(0, total));
    expect(seen(socket, "agent:other")).toEqual(range(0, others));
  });

  it("[CLOSE-2] that takes nothing at all for long is closed, and goes on where it was when it comes back", async () => {
    const closings: string[] = [];
    const logger = { debug: (_: unknown, line: string) => closings.push(line), info() {}, warn() {}, error() {} };
    await using strict = await startBroker({ nats, config: { stallTimeoutMs: 300 }, logger: logger as never });
    await using slow = await connectRaw({ wsUrl: strict.wsUrl, apiKey: TEST_KEY });
    slow.send({ type: "subscribe", channel: CHANNEL });
    await slow.nextOf("caught_up");
    slow.socket.pause();
    const text = "x".repeat(4_000);
    const total = 5_000;
    for (let i = 0; i < total; i += 500) {
      await publisher.publishMany(
        CHANNEL,
        Array.from({ length: 500 }, (_, j) => ({ type: "log_entry", payload: { message: `${i + j}`, text } }) as const),
      );
    }
    await expect.poll(() => closings, { timeout: 10_000 }).toContainEqual(expect.stringContaining("no progress"));
    slow.socket.resume();
    await slow.closed;
    const before = seen(slow);
    expect(before).toEqual(range(0, before.length));
    await using back = await client();
    await resume(back, slow.messages.at(-1)?.eventId as string);
    await back.events(CHANNEL, total - before.length);
    expect(seen(back)).toEqual(range(before.length, total));
  });

  it("[PING-1] attacks invariant 2: pong never names a place beyond what a reader that fell behind has been sent", async () => {
    await using strict = await startBroker({ nats, config: { auditIntervalMs: 50, highWaterBytes: 65_536 } });
    await using slow = await connectRaw({ wsUrl: strict.wsUrl, apiKey: TEST_KEY, protocols: ["kata.v1.ndjson"] });
    const quiet = "agent:quiet";
    for (const channel of [CHANNEL, quiet]) {
      slow.send({ type: "subscribe", channel });
      await slow.nextOf("caught_up");
    }
    slow.socket.pause();
    const text = "x".repeat(20_000);
    for (let i = 0; i < 1_500; i += 100) {
      await publisher.publishMany(
        CHANNEL,
        Array.from({ length: 100 }, (_, j) => ({ type: "log_entry", payload: { message: `${i + j}`, text } }) as const),
      );
    }
    const last = await publisher.publish(quiet, log("0"));
    // Another reader's pong shows that the broker's audit has got that far.
    await using quick = await connectRaw({ wsUrl: strict.wsUrl, apiKey: TEST_KEY });
    quick.send({ type: "subscribe", channel: quiet });
    await quick.nextOf("caught_up");
    const audited = async () => {
      quick.send({ type: "ping" });
      return (await quick.nextOf("pong")).eventId;
    };
    await expect.poll(audited, { timeout: 10_000 }).toBe(last.eventId);
    slow.send({ type: "ping" });
    slow.socket.resume();
    const pong = await slow.nextOf("pong");
    const before = slow.messages.slice(0, slow.messages.indexOf(pong));
    await using later = await client();
    await resume(later, pong.eventId);
    await later.nextOf("caught_up");
    expect(seen(later).length + eventsOf(before, CHANNEL).length).toBeGreaterThanOrEqual(1_500);
    await slow.events(CHANNEL, 1_500);
    expect(seen(slow)).toEqual(range(0, 1_500));
  });
});
