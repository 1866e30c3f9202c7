import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { readLog } from "../support/stream.ts";
import { createRig, numbersOf, upTo, WAYS } from "./rig.ts";

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
