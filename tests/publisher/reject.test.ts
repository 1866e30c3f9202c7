import { createServer } from "node:net";
import { createPublisher, PublisherError } from "@kata/publisher";
import { describe, expect, test, vi } from "vitest";
import { freePort } from "../support/free-port.ts";
import { connectNats } from "../support/nats-connect.ts";
import { brokerUrl } from "../support/nats-secrets.ts";
import { readLog } from "../support/stream.ts";
import { createRig, numbersOf, TEAM, upTo, WAYS } from "./rig.ts";

const event = (i: number) => ({ type: "log_entry", payload: { message: "m", i } });

describe.each(WAYS)("over %s", (way) => {
  test("a caller's mistake is a rejected promise with its code, and disturbs nobody", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const good = publisher.publish("agent:a1", event(0));
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    const mistakes: [channel: string, event: unknown, code: string][] = [
      ["agent:", event(1), "invalid_channel"],
      ["agent:a.b", event(1), "invalid_channel"],
      ["agent:>", event(1), "invalid_channel"],
      ["room:a1", event(1), "invalid_channel"],
      [undefined as unknown as string, event(1), "invalid_channel"],
      ["team:t2", event(1), "forbidden"],
      ["agent:a1", { type: "Log", payload: {} }, "invalid_event"],
      ["agent:a1", { type: "caught_up", payload: {} }, "invalid_event"],
      ["agent:a1", { type: "log_entry" }, "invalid_event"],
      ["agent:a1", { type: "log_entry", payload: () => 1 }, "invalid_event"],
      ["agent:a1", { type: "log_entry", payload: circular }, "invalid_event"],
      ["agent:a1", { type: "log_entry", payload: 1n }, "invalid_event"],
      ["agent:a1", { ...event(1), timestamp: "yesterday" }, "invalid_event"],
      ["agent:a1", { ...event(1), timestamp: "2026-02-31T00:00" }, "invalid_event"],
      ["agent:a1", { ...event(1), timestamp: "2026-02-30T00:00:00Z" }, "invalid_event"],
      ["agent:a1", { ...event(1), timestamp: "2026-02-29T12:00:00+01:00" }, "invalid_event"],
      ["agent:a1", { ...event(1), timestamp: "2026-02-28T24:00:00Z" }, "invalid_event"],
      ["agent:a1", { ...event(1), timestamp: new Date(Number.NaN) }, "invalid_event"],
      ["agent:a1", { ...event(1), idempotencyKey: "" }, "invalid_event"],
      ["agent:a1", { ...event(1), idempotencyKey: "k".repeat(129) }, "invalid_event"],
      ["agent:a1", undefined, "invalid_event"],
      ["agent:a1", { type: "log_entry", payload: "x".repeat(512 * 1024) }, "too_large"],
    ];
    for (const [channel, mistake, code] of mistakes) {
      const published = publisher.publish(channel, mistake as ReturnType<typeof event>);
      await expect(published).rejects.toBeInstanceOf(PublisherError);
      await expect(published).rejects.toMatchObject({ code, retryable: false, stored: "no" });
    }
    await good;
    await publisher.publish("agent:a1", event(1));
    expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1]);
  });

  test("the largest event that is allowed is stored", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const payload = { message: "", i: 0 };
    const overhead = JSON.stringify({
      type: "log_entry",
      timestamp: new Date().toISOString(),
      encoding: "json",
      payload,
    }).length;
    payload.message = "x".repeat(512 * 1024 - overhead);
    await publisher.publish("agent:a1", { type: "log_entry", payload });
    payload.message += "x";
    await expect(publisher.publish("agent:a1", { type: "log_entry", payload })).rejects.toMatchObject({
      code: "too_large",
    });
    expect((await readLog(rig.nc))[0]?.lines[0]?.length).toBe(512 * 1024);
  });

  test("an event over the stream's own limit is rejected, and the next one is stored", async () => {
    await using rig = await createRig({ way, stream: { max_msg_size: 2_000 } });
    const publisher = await rig.publisher({ maxRecordEvents: 1 });
    const big = publisher.publish("agent:a1", { type: "log_entry", payload: { message: "x".repeat(3_000) } });
    const small = publisher.publish("agent:a1", event(0));
    await expect(big).rejects.toMatchObject({ code: "too_large", stored: "no" });
    await small;
    expect(numbersOf(await readLog(rig.nc))).toEqual([0]);
  });

  // Over HTTP it is the broker that waits, and what the stream's administrator may have done is not told outside.
  test.skipIf(way === "http")("a full stream is waited for", async () => {
    await using rig = await createRig({ way, stream: { max_msgs: 1, discard: "new" as never } });
    const publisher = await rig.publisher();
    await publisher.publish("agent:a1", event(0));
    const second = publisher.publish("agent:a1", event(1));
    await vi.waitFor(() => expect(rig.seen.length).toBeGreaterThan(2));
    await rig.nc.request("$JS.API.STREAM.PURGE.KATA");
    await second;
    expect(numbersOf(await readLog(rig.nc))).toEqual([1]);
  });

  test.skipIf(way === "http")("a sealed stream rejects for good", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    await publisher.publish("agent:a1", event(0));
    const { config } = (await rig.nc.request("$JS.API.STREAM.INFO.KATA")).json<{ config: object }>();
    await rig.nc.request("$JS.API.STREAM.UPDATE.KATA", JSON.stringify({ ...config, sealed: true }));
    await expect(publisher.publish("agent:a1", event(1))).rejects.toMatchObject({ code: "rejected", stored: "no" });
  });

  test("the queue is bounded: queue_full is typed and retryable, and what was accepted is stored", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ maxQueueBytes: 100_000, ackTimeoutMs: 60_000 });
    await publisher.publish("agent:a1", event(-1));
    rig.proxy.pause();
    const accepted: Promise<unknown>[] = [];
    let refused: unknown;
    for (let i = 0; refused === undefined && i < 10_000; i++) {
      const published = publisher.publish("agent:a1", event(i));
      accepted.push(published);
      await Promise.race([
        published.catch((error: unknown) => (refused = error)),
        new Promise((next) => setImmediate(next)),
      ]);
    }
    accepted.pop();
    expect(refused).toMatchObject({ code: "queue_full", retryable: true, stored: "no" });
    expect(accepted.length).toBeGreaterThan(200);
    expect(accepted.length).toBeLessThan(400);
    rig.proxy.resume();
    await Promise.all(accepted);
    await publisher.publish("agent:a1", event(accepted.length));
    expect(numbersOf(await readLog(rig.nc))).toEqual([-1, ...upTo(accepted.length + 1)]);
  });

  test("an event larger than the whole queue is let in when nothing else waits", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ maxQueueBytes: 10 });
    await publisher.publish("agent:a1", event(0));
  });

  test("what cannot be sent within its time is rejected as absent, what was sent as unknown", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ publishTimeoutMs: 400, ackTimeoutMs: 100 });
    await publisher.publish("agent:a1", event(0));
    rig.proxy.pause();
    const sent = publisher.publish("agent:a1", event(1));
    // It is sent at the end of the tick. The next one comes right behind it, so that both are as old when they are given up.
    await Promise.resolve();
    const waiting = publisher.publish("agent:a1", event(2));
    const outcomes = await Promise.allSettled([sent, waiting]);
    expect(outcomes.map((outcome) => outcome.status === "rejected" && outcome.reason)).toMatchObject([
      { code: "unavailable", retryable: true, stored: "unknown" },
      { code: "unavailable", retryable: true, stored: "no" },
    ]);
    rig.proxy.resume();
    await publisher.publish("agent:a1", event(3));
    const numbers = numbersOf(await readLog(rig.nc));
    expect(numbers.filter((i) => i !== 1)).toEqual([0, 3]);
  });

  test("close with NATS away ends within its bound and rejects what is left, typed", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ closeTimeoutMs: 200 });
    await publisher.publish("agent:a1", event(0));
    await rig.nats.kill();
    const left = upTo(50).map((i) => publisher.publish("agent:a1", event(i + 1)));
    const outcomes = Promise.allSettled(left);
    await expect(publisher.close()).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("50 events"),
    });
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { name: "PublisherError", code: "unavailable" } });
    }
    await expect(publisher.publish("agent:a1", event(51))).rejects.toMatchObject({ code: "closed" });
  });
});

test("NATS refuses a subject: forbidden", async () => {
  await using rig = await createRig();
  const nc = await connectNats(brokerUrl(rig.proxy.port));
  const publisher = await rig.publisher({ connection: nc });
  await publisher.publish("agent:a1", event(0));
  // nats.conf denies nothing under kata.>, so the server's words are put into the connection as if it had said them.
  rig.proxy.pause();
  const published = publisher.publish("agent:a1", event(1));
  await new Promise((next) => setImmediate(next));
  const { protocol } = nc as unknown as { protocol: { processError(words: Uint8Array): void } };
  protocol.processError(Buffer.from(`'Permissions Violation for Publish to "kata.team.${TEAM}.agent.a1"'`));
  await expect(published).rejects.toMatchObject({ code: "forbidden", retryable: false, stored: "no" });
  rig.proxy.resume();
  await publisher.close();
  await nc.close();
});

test("no NATS there: one clear line, without the secrets of the URL", async () => {
  const port = await freePort();
  for (const servers of [`nats://user:hunter2@127.0.0.1:${port}`, [`hunter2@127.0.0.1:${port}`]]) {
    const error: unknown = await createPublisher({ servers, teamId: TEAM }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "unavailable", retryable: true });
    expect((error as Error).message).toBe(`cannot connect to NATS at ${plain(servers)}: connection refused`);
  }
  function plain(servers: string | string[]): string {
    return typeof servers === "string" ? `nats://127.0.0.1:${port}` : `127.0.0.1:${port}`;
  }
});

test("a server that says nothing is given up after connectTimeoutMs", async () => {
  const mute = createServer().listen(0, "127.0.0.1");
  await new Promise((listening) => mute.once("listening", listening));
  const { port } = mute.address() as { port: number };
  const connecting = createPublisher({ url: `127.0.0.1:${port}`, teamId: TEAM, connectTimeoutMs: 200 });
  await expect(connecting).rejects.toMatchObject({ code: "unavailable" });
  mute.close();
});

test.each([
  ["teamId", { teamId: "a.b" }],
  ["stream", { stream: "a.b" }],
  ["maxRecordBytes", { maxRecordBytes: 1e9 }],
  ["ackTimeoutMs", { ackTimeoutMs: Number.NaN }],
  ["NATS server", { url: "ws://a b" }],
  ["apiKey", { url: "http://127.0.0.1:1" }],
  ["credentials", { url: "http://u:p@127.0.0.1:1", apiKey: "k" }],
])("bad options are a TypeError that names %s", async (name, options) => {
  await expect(createPublisher({ teamId: TEAM, url: "127.0.0.1:1", ...options })).rejects.toThrow(TypeError);
  await expect(createPublisher({ teamId: TEAM, url: "127.0.0.1:1", ...options })).rejects.toThrow(name);
});
