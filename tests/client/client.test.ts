import { afterAll, beforeAll, expect, test } from "vitest";
import { caughtUp, clientOf, collect, entry, freshChannel, numbers, type Setup, startAll } from "./setup.ts";

let all: Setup;

beforeAll(async () => {
  all = await startAll({ auditIntervalMs: 50 });
});

afterAll(async () => {
  await all[Symbol.asyncDispose]();
});

async function publish(channel: string, messages: readonly string[]): Promise<string[]> {
  const stored = await Promise.all(messages.map((message) => all.publisher.publish(channel, entry(message))));
  return stored.map(({ eventId }) => eventId);
}

test.each([
  ["one envelope a frame", false],
  ["several envelopes a frame", true],
])(
  "[CONNECT-3] [ORDER-1] live events are handed over with the publisher's eventIds, in order: %s",
  async (_what, ndjson) => {
    const channel = freshChannel();
    const client = clientOf(all.broker, { ndjson });
    const live = caughtUp(client, channel);
    const handed = collect(client, channel);
    await client.connect();
    await live;
    const eventIds = await publish(channel, numbers(500));
    await handed.reaches(500);
    expect(handed.log).toEqual(numbers(500));
    expect(handed.eventIds).toEqual(eventIds);
    expect(client.position(channel)).toBe(eventIds.at(-1));
    expect(client.stats).toEqual({ connections: 1, events: 500, repeats: 0, gaps: 0 });
  },
);

test("[SUBSCRIBE-5] a rewind brings history, then it is live", async () => {
  const channel = freshChannel();
  await publish(channel, numbers(20));
  const client = clientOf(all.broker);
  const live = caughtUp(client, channel);
  const handed = collect(client, channel, { rewind: { count: 5 } });
  await client.connect();
  await live;
  await publish(channel, ["21"]);
  await handed.reaches(6);
  expect(handed.log).toEqual(numbers(6, 16));
});

test("[RESUME-1] a later client goes on from the position that an earlier one left, in the middle of a record too", async () => {
  const channel = freshChannel();
  const eventIds = await publish(channel, numbers(50));
  expect(eventIds.some((eventId) => eventId.includes("."))).toBe(true);
  for (const from of [0, 1, 17, 48]) {
    const client = clientOf(all.broker);
    const handed = collect(client, channel, { lastEventId: eventIds[from] });
    await client.connect();
    await handed.reaches(49 - from);
    expect(handed.log).toEqual(numbers(49 - from, from + 2));
    client.close();
  }
});

test("[RESUME-4] a position that is none is a gap, and everything that exists follows", async () => {
  const channel = freshChannel();
  await publish(channel, numbers(3));
  const client = clientOf(all.broker);
  const handed = collect(client, channel, { lastEventId: "not-a-position" });
  await client.connect();
  await handed.reaches(4);
  expect(handed.log).toEqual(["gap: unknown", ...numbers(3)]);
});

test("[CONNECT-4] a wrong key is refused for good, and the error does not repeat it", async () => {
  const apiKey = "kat_live_nobody_ffffffffffffffff";
  const client = clientOf(all.broker, { apiKey });
  const refusal = await client.connect().catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: "refused", closeCode: 4501, detail: { code: "unauthenticated" } });
  expect(client.status).toBe("failed");
  expect(JSON.stringify(refusal)).not.toContain(apiKey);
});

test("[SUBSCRIBE-3] channels that are refused fail, each with its code; the others go on", async () => {
  const channel = freshChannel();
  const client = clientOf(all.broker);
  const failures: (string | undefined)[] = [];
  client.on("error", (error) => failures.push(`${error.code} ${error.detail?.code}`));
  const foreign = client.subscribe("team:somebody_else", () => {});
  const bad = client.subscribe("no channel", () => {});
  const live = caughtUp(client, channel);
  const handed = collect(client, channel);
  await client.connect();
  await live;
  await publish(channel, ["1"]);
  await handed.reaches(1);
  expect([foreign.status, bad.status]).toEqual(["failed", "failed"]);
  expect(failures.sort()).toEqual(["subscription_failed forbidden", "subscription_failed invalid_channel"]);
});

test("[UNSUBSCRIBE-1] leaving and coming back at once, again and again, while events pour in: each once, in order", async () => {
  const channel = freshChannel();
  const client = clientOf(all.broker);
  const seen: string[] = [];
  let done: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    done = resolve;
  });
  const handler = (event: { payload: unknown }): void => {
    const { message } = event.payload as { message: string };
    seen.push(message);
    if (message === "2000") return done();
    if (seen.length % 100 !== 0) return;
    const lastEventId = client.position(channel);
    client.unsubscribe(channel);
    client.subscribe(channel, handler, { lastEventId });
  };
  const live = caughtUp(client, channel);
  client.subscribe(channel, handler);
  await client.connect();
  await live;
  await publish(channel, numbers(2_000));
  await finished;
  expect(seen).toEqual(numbers(2_000));
  expect(client.stats.connections).toBe(1);
});

test("[PING-1] a quiet channel's position moves on with the log, and it resumes from there", async () => {
  const quiet = freshChannel();
  const busy = freshChannel();
  const client = clientOf(all.broker, { pingIntervalMs: 20, timeoutMs: 5_000 });
  const live = caughtUp(client, quiet);
  const handed = collect(client, quiet);
  await client.connect();
  await live;
  const before = client.position(quiet);
  const eventIds = await publish(busy, numbers(10));
  const seqOf = (eventId: string | undefined) => Number(eventId?.split("-")[1]);
  await expect
    .poll(() => seqOf(client.position(quiet)), { timeout: 10_000 })
    .toBeGreaterThanOrEqual(seqOf(eventIds.at(-1)));
  expect(client.position(quiet)).not.toBe(before);

  const later = clientOf(all.broker);
  const resumed = collect(later, quiet, { lastEventId: client.position(quiet) });
  await later.connect();
  await publish(quiet, ["1"]);
  await Promise.all([handed.reaches(1), resumed.reaches(1)]);
  expect([handed.log, resumed.log]).toEqual([["1"], ["1"]]);
});
