import { setTimeout as delay } from "node:timers/promises";
import type { PublishResult } from "@kata/publisher";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { readLog } from "../support/stream.ts";
import { createRig, eventIdsOf, numbersOf, upTo, WAYS } from "./rig.ts";

const event = (i: number) => ({ type: "log_entry", payload: { message: "m", i } });

describe.each(WAYS)("over %s", (way) => {
  test("a source of any length is in the log in its order, and never more than the window on its way", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    let most = 0;
    async function* source() {
      for (let i = 0; i < 20_000; i++) {
        if (i % 1_000 === 0) await delay(1);
        most = Math.max(most, publisher.stats.queuedBytes);
        yield event(i);
      }
    }
    const ids: string[] = [];
    const result = await publisher.pipe(source(), {
      channel: "agent:a1",
      windowBytes: 100_000,
      onResult: ({ eventId }) => ids.push(eventId),
    });
    expect(result).toEqual({ events: 20_000, duplicates: 0 });
    const log = await readLog(rig.nc);
    expect(numbersOf(log)).toEqual(upTo(20_000));
    expect(ids).toEqual(log.flatMap((record) => record.eventIds));
    expect(most).toBeGreaterThan(50_000);
    expect(most).toBeLessThan(101_000);
  });

  test("events that name their channels, from an array; an idempotency key counts as it does alone", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const events = [
      { ...event(0), channel: "agent:a1", idempotencyKey: "k" },
      { ...event(1), channel: "spec:s1" },
      { ...event(2), channel: "agent:a1", idempotencyKey: "k" },
    ];
    expect(await publisher.pipe(events)).toEqual({ events: 3, duplicates: 1 });
    expect(numbersOf(await readLog(rig.nc, "kata.team.t1.agent.a1"))).toEqual([0]);
    expect(numbersOf(await readLog(rig.nc, "kata.team.t1.spec.s1"))).toEqual([1]);
  });

  test("the first event that is refused ends it, what was on its way is settled, and the source is let go of", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    let released = false;
    async function* source() {
      try {
        for (let i = 0; ; i++) yield i === 5 ? { type: "NO", payload: null } : event(i);
      } finally {
        released = true;
      }
    }
    await expect(publisher.pipe(source(), { channel: "agent:a1" })).rejects.toMatchObject({ code: "invalid_event" });
    expect(publisher.stats.queuedEvents).toBe(0);
    expect(numbersOf(await readLog(rig.nc))).toEqual(expect.arrayContaining(upTo(5)));
    await vi.waitFor(() => expect(released).toBe(true));
  });

  test("a source that fails when it is let go of does not hide why, and what is on its way is settled all the same", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    function* source() {
      try {
        yield event(0);
        yield { type: "NO", payload: null };
      } finally {
        // biome-ignore lint/correctness/noUnsafeFinally: that is what it is about
        throw new Error("the file was closed already");
      }
    }
    await expect(publisher.pipe(source(), { channel: "agent:a1" })).rejects.toMatchObject({ code: "invalid_event" });
    expect(publisher.stats.queuedEvents).toBe(0);
    expect(numbersOf(await readLog(rig.nc))).toEqual([0]);
  });

  test("the end of a failing source is told although it is silent: by a failure, and by a signal", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const stop = new AbortController();
    async function* silent(first: object) {
      yield first as ReturnType<typeof event>;
      await new Promise(() => {});
    }
    const failing = publisher.pipe(silent({ type: "log_entry", payload: undefined }), { channel: "agent:a1" });
    await expect(failing).rejects.toMatchObject({ code: "invalid_event" });
    const piped = publisher.pipe(silent(event(0)), { channel: "agent:a1", signal: stop.signal });
    await vi.waitFor(() => expect(publisher.stats.published).toBe(1));
    stop.abort();
    await expect(piped).rejects.toMatchObject({ code: "aborted" });
    expect(numbersOf(await readLog(rig.nc))).toEqual([0]);
  });

  describe("of a pipe that failed, `stored` is about all that onResult was not told of", () => {
    const CHANNEL = "agent:a1";
    /** One that has given these events and then is silent. */
    async function* given(...numbers: number[]) {
      yield* numbers.map(event);
      await new Promise(() => {});
    }
    const told: string[] = [];
    const onResult = ({ eventId }: PublishResult) => void told.push(eventId);
    beforeEach(() => void told.splice(0));

    test("it is `no` where it was told of everything that the log has", async () => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher();
      const source = [event(0), event(1), { type: "NO", payload: null }, event(3)];
      const failed = { code: "invalid_event", stored: "no" };
      await expect(publisher.pipe(source, { channel: CHANNEL, onResult })).rejects.toMatchObject(failed);
      const log = await readLog(rig.nc);
      expect(numbersOf(log)).toEqual([0, 1]);
      expect(told).toEqual(eventIdsOf(log));
    });

    test("it is `unknown` where the log has events and nobody was told", async () => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher();
      const refused = { type: "NO", payload: null };
      const failed = { code: "invalid_event", stored: "unknown" };
      await expect(publisher.pipe([event(0), refused], { channel: CHANNEL })).rejects.toMatchObject(failed);
      expect(numbersOf(await readLog(rig.nc))).toEqual([0]);
      await expect(publisher.pipe([refused], { channel: CHANNEL })).rejects.toMatchObject({ ...failed, stored: "no" });
    });

    test("it is `unknown` when it is aborted while some are unanswered, which get there later", async () => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher({ ackTimeoutMs: 60_000 });
      await publisher.publish(CHANNEL, event(0));
      rig.proxy.pause();
      const stop = new AbortController();
      const piped = publisher.pipe(given(1, 2), { channel: CHANNEL, signal: stop.signal, onResult });
      const failed = expect(piped).rejects.toMatchObject({ code: "aborted", stored: "unknown" });
      await vi.waitFor(() => expect(publisher.stats.queuedEvents).toBe(2));
      stop.abort();
      await failed;
      expect(told).toEqual([]);
      rig.proxy.resume();
      await publisher.flush();
      expect(numbersOf(await readLog(rig.nc))).toContain(1);
      expect(told).toEqual([]);
    });

    test("it is `no` when it is aborted before any was sent", async () => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher({ ackTimeoutMs: 60_000 });
      await publisher.publish(CHANNEL, event(0));
      rig.proxy.pause();
      const before = publisher.publish(CHANNEL, event(1));
      await new Promise((next) => setImmediate(next));
      const stop = new AbortController();
      const piped = publisher.pipe(given(2, 3), { channel: CHANNEL, signal: stop.signal, onResult });
      const failed = expect(piped).rejects.toMatchObject({ code: "aborted", stored: "no" });
      await vi.waitFor(() => expect(publisher.stats.queuedEvents).toBe(3));
      stop.abort();
      await failed;
      rig.proxy.resume();
      await before;
      await publisher.flush();
      expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1]);
    });

    test("it is `unknown` when the publisher is closed while one is unanswered", async () => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher({ ackTimeoutMs: 60_000, closeTimeoutMs: 100 });
      await publisher.publish(CHANNEL, event(0));
      rig.proxy.pause();
      const piped = publisher.pipe(given(1), { channel: CHANNEL, onResult });
      const failed = expect(piped).rejects.toMatchObject({ code: "closed", stored: "unknown" });
      await vi.waitFor(() => expect(publisher.stats.queuedEvents).toBe(1));
      await expect(publisher.close()).rejects.toMatchObject({ code: "unavailable" });
      await failed;
    });
  });

  test("a queue that others have filled is waited for, and the order stays", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ maxQueueBytes: 20_000, ackTimeoutMs: 60_000 });
    await publisher.publish("agent:b1", event(0));
    rig.proxy.pause();
    const others: Promise<unknown>[] = [];
    for (let full = false; !full; ) {
      const before = publisher.stats.queuedEvents;
      const publish = publisher.publish("agent:b1", event(0));
      full = publisher.stats.queuedEvents === before;
      if (full) await expect(publish).rejects.toMatchObject({ code: "queue_full" });
      else others.push(publish);
    }
    const piped = publisher.pipe(upTo(100).map(event), { channel: "agent:a1" });
    await new Promise((next) => setImmediate(next));
    rig.proxy.resume();
    expect(await piped).toEqual({ events: 100, duplicates: 0 });
    await Promise.all(others);
    expect(numbersOf(await readLog(rig.nc, "kata.team.t1.agent.a1"))).toEqual(upTo(100));
  });

  test("an error of the source's own is passed on when the rest is settled", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    function* source() {
      yield event(0);
      throw new Error("the file is gone");
    }
    await expect(publisher.pipe(source(), { channel: "agent:a1" })).rejects.toThrow("the file is gone");
    expect(numbersOf(await readLog(rig.nc))).toEqual([0]);
  });
});

test("what is no source, or names no channel, is an error", async () => {
  await using rig = await createRig();
  const publisher = await rig.publisher();
  await expect(publisher.pipe(5 as unknown as [], { channel: "agent:a1" })).rejects.toThrow(TypeError);
  await expect(publisher.pipe([event(0)] as never)).rejects.toMatchObject({ code: "invalid_channel" });
  await expect(publisher.pipe([], { channel: "agent:a1", windowBytes: 0 })).rejects.toThrow(TypeError);
});
