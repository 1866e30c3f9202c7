import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createPublisher, type Publisher } from "@kata/publisher";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type InProcessBroker, startBroker, TEST_KEY } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { connectRaw } from "../support/raw-client.ts";

let nats: TestNats;
let broker: InProcessBroker;
let publisher: Publisher;

const scopes = (key: string) => (key.endsWith("publisher") ? (["publish"] as const) : (["subscribe"] as const));

beforeEach(async () => {
  nats = await startNats();
  broker = await startBroker({
    nats,
    config: { natsTimeoutMs: 1_000, ringBytes: 2_000, pageRecords: 8 },
    apiKeys: {
      verifyKey: async (key) =>
        key.startsWith("kat_") ? { type: "api_key", teamId: "demo", keyId: "k", scopes: scopes(key) } : undefined,
    },
  });
  publisher = await createPublisher({ servers: nats.url, teamId: "demo" });
});

afterEach(async () => {
  await publisher?.close();
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

const CHANNEL = "agent:build";
const log = (i: number) => ({ type: "log_entry", payload: { message: `${i}` } }) as const;
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

interface Answer {
  readonly status: number;
  readonly body: {
    readonly events: { readonly eventId: string; readonly payload: { readonly message: string } }[];
    readonly next: string;
    readonly more: boolean;
    readonly recovery: string;
    readonly reason?: string;
    readonly error?: { readonly code: string; readonly retryable: boolean };
  };
}

async function get(query: Record<string, string> = {}, channel = CHANNEL, key = TEST_KEY): Promise<Answer> {
  const url = `${broker.httpUrl}/v1/channels/${channel}/events?${new URLSearchParams(query)}`;
  const response = await fetch(url, { headers: { "x-api-key": key } });
  return { status: response.status, body: (await response.json()) as Answer["body"] };
}

/** Follows `next` until there is no more. */
async function walk(limit: number, after?: string): Promise<{ messages: number[]; ids: string[]; next: string }> {
  const messages: number[] = [];
  const ids: string[] = [];
  let next = after;
  for (;;) {
    const { status, body } = await get({ limit: `${limit}`, ...(next === undefined ? {} : { after: next }) });
    expect(status).toBe(200);
    expect(body.recovery).toBe(next === undefined ? "fresh" : "complete");
    expect(body.events.length).toBeLessThanOrEqual(limit);
    for (const { eventId, payload } of body.events) {
      messages.push(Number(payload.message));
      ids.push(eventId);
    }
    next = body.next;
    if (!body.more) return { messages, ids, next };
  }
}

describe("[HTTP-5] history", () => {
  it("gives every event once, in order, whatever the limit, with the eventIds that readers see", async () => {
    const acked = [];
    for (let i = 0; i < 60; i += 6) acked.push(...(await publisher.publishMany(CHANNEL, range(i, i + 6).map(log))));
    for (const limit of [1, 5, 6, 7, 100]) {
      const { messages, ids } = await walk(limit);
      expect(messages).toEqual(range(0, 60));
      expect(ids).toEqual(acked.map(({ eventId }) => eventId));
    }
    const { messages } = await walk(4, acked[20]?.eventId);
    expect(messages).toEqual(range(21, 60));
  });

  it("`next` goes on where it ended: with a further request, and with a subscription", async () => {
    await publisher.publishMany(CHANNEL, range(0, 10).map(log));
    const { next } = await walk(100);
    expect((await get({ after: next })).body).toEqual({ events: [], next, more: false, recovery: "complete" });
    await publisher.publishMany(CHANNEL, range(10, 13).map(log));
    expect((await get({ after: next })).body.events.map(({ payload }) => Number(payload.message))).toEqual([
      10, 11, 12,
    ]);
    await using socket = await connectRaw({ wsUrl: broker.wsUrl, apiKey: TEST_KEY });
    socket.send({ type: "subscribe", channel: CHANNEL, lastEventId: next });
    expect((await socket.nextOf("subscribed")).payload.recovery).toBe("complete");
    expect(await socket.events(CHANNEL, 3)).toHaveLength(3);
  });

  it("an empty channel has a place, too, and one that does not grow old", async () => {
    const { body } = await get();
    expect(body).toMatchObject({ events: [], more: false, recovery: "fresh" });
    const busy = await publisher.publish("agent:busy", log(0));
    await expect.poll(async () => (await get({ after: body.next })).body.next, { timeout: 15_000 }).toBe(busy.eventId);
  });

  it("says a gap as a subscription does, and gives what is left", async () => {
    const ids = [];
    for (let i = 0; i < 20; i++) ids.push((await publisher.publish(CHANNEL, log(i))).eventId);
    const nc = await connectNats(nats.url);
    await (await jetstreamManager(nc)).streams.purge("KATA", { seq: 11 });
    await nc.close();
    const { body } = await get({ after: ids[3] as string });
    expect(body).toMatchObject({ recovery: "gap", reason: "expired" });
    expect(body.events.map(({ payload }) => Number(payload.message))).toEqual(range(10, 20));
    expect((await get({ after: "nonsense", limit: "1" })).body).toMatchObject({ recovery: "gap", reason: "unknown" });
  });

  it("goes past however many records that are no events, a piece at a time", async () => {
    const nc = await connectNats(nats.url);
    for (let i = 0; i < 12_000; i++) nc.publish("kata.team.demo.agent.build", "no event");
    await nc.flush();
    await nc.close();
    await publisher.publish(CHANNEL, log(7));
    let next: string | undefined;
    let pieces = 0;
    for (let more = true; more; pieces++) {
      const { status, body } = await get(next === undefined ? {} : { after: next });
      expect([status, body.more ? body.events : body.events.map(({ payload }) => payload.message)]).toEqual([
        200,
        body.more ? [] : ["7"],
      ]);
      ({ next, more } = body);
    }
    expect(pieces).toBe(3);
  });

  it("ends early where it would get long, and goes on", async () => {
    const text = "x".repeat(300_000);
    for (let i = 0; i < 8; i++) {
      await publisher.publish(CHANNEL, { type: "log_entry", payload: { message: `${i}`, text } });
    }
    expect((await get({ limit: "1000" })).body).toMatchObject({ more: true, events: { length: 4 } });
    expect((await walk(1_000)).messages).toEqual(range(0, 8));
  });

  it("is refused to who may not read, or asks for what is no number of events", async () => {
    expect(await get({}, CHANNEL, "kat_publisher")).toMatchObject({
      status: 403,
      body: { error: { code: "forbidden" } },
    });
    expect(await get({}, CHANNEL, "nobody")).toMatchObject({ status: 401 });
    expect(await get({}, "team:other")).toMatchObject({ status: 403 });
    expect(await get({}, "nonsense")).toMatchObject({ status: 400, body: { error: { code: "invalid_channel" } } });
    const raw = async (query: string) => {
      const url = `${broker.httpUrl}/v1/channels/${CHANNEL}/events?${query}`;
      const response = await fetch(url, { headers: { "x-api-key": TEST_KEY } });
      return [response.status, ((await response.json()) as Answer["body"]).error?.code];
    };
    for (const query of ["limit=5000%", "after=a-1-abcd%&limit=7", "limit=1&limit=2", "limit", "lim=1", "after=%zz"]) {
      expect(await raw(query), query).toEqual([400, "bad_request"]);
    }
    for (const limit of ["0", "1001", "-1", "x", "1.5", ""]) {
      expect(await get({ limit }), limit).toMatchObject({ status: 400, body: { error: { code: "bad_request" } } });
    }
  });

  it("says 503 and retryable while NATS is away, and answers when it is back", async () => {
    await publisher.publish(CHANNEL, log(0));
    nats.suspend();
    expect(await get()).toMatchObject({ status: 503, body: { error: { code: "unavailable", retryable: true } } });
    nats.resume();
    await nats.kill();
    await expect.poll(async () => (await get()).status).toBe(503);
    await nats.start();
    await expect.poll(async () => (await get()).body.events?.length, { timeout: 10_000 }).toBe(1);
  });

  it("has what was acknowledged before it was asked for", async () => {
    let after: string | undefined;
    for (let i = 0; i < 300; i++) {
      const { eventId } = await publisher.publish(CHANNEL, log(i));
      const { body } = await get(after === undefined ? {} : { after });
      expect(body.events.at(-1)?.eventId).toBe(eventId);
      after = body.next;
    }
  });

  it("keeps nothing of what it answered", async () => {
    await broker.close();
    // Nothing is remembered that the next answer could share.
    broker = await startBroker({ nats, config: { ringBytes: 0, pageCacheBytes: 0 } });
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const text = "x".repeat(4_000);
    const events = range(0, 250).map((i) => ({ type: "log_entry", payload: { message: `${i}`, text } }) as const);
    await publisher.publishMany(CHANNEL, events);
    const held = async (requests: number) => {
      for (let i = 0; i < requests; i++) expect((await get({ limit: "250" })).body.events).toHaveLength(250);
      // What is dead is freed in two steps, with a turn between.
      for (let i = 0; i < 3; i++) {
        collect();
        await new Promise((resolve) => setImmediate(resolve));
      }
      return process.memoryUsage().arrayBuffers;
    };
    const before = await held(5);
    expect((await held(30)) - before).toBeLessThan(10_000_000);
  });

  it("leaves nothing behind where its client leaves before the log has answered", async () => {
    await broker.close();
    const admitted: (() => void)[] = [];
    broker = await startBroker({
      nats,
      config: { natsTimeoutMs: 500, lingerMs: 50 },
      apiKeys: {
        async verifyKey() {
          await new Promise<void>((resolve) => admitted.push(resolve));
          return { type: "api_key", teamId: "demo", keyId: "k", scopes: ["subscribe"] };
        },
      },
    });
    const nc = await connectNats(nats.url);
    await (await jetstreamManager(nc)).streams.delete("KATA");
    await nc.close();
    const gone = new AbortController();
    const url = `${broker.httpUrl}/v1/channels/${CHANNEL}/events`;
    const asked = range(0, 20).map(() => fetch(url, { headers: { "x-api-key": TEST_KEY }, signal: gone.signal }));
    await expect.poll(() => admitted.length).toBe(20);
    gone.abort();
    await Promise.allSettled(asked);
    // Behind them in the broker's eyes: they are gone by then.
    await (await fetch(`${broker.httpUrl}/healthz`)).text();
    for (const admit of admitted) admit();
    // One that waits, and is answered in time: by then those before it were on their way.
    const waits = get();
    await expect.poll(() => admitted.length).toBe(21);
    admitted.at(-1)?.();
    expect((await waits).body.error?.code).toBe("unavailable");
    const channels = async () => (await broker.metrics()).match(/^kata_channels (\d+)$/m)?.[1];
    await expect.poll(channels).toBe("0");
  });
});
