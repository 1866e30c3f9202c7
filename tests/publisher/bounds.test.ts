import { PublisherError, QueueFullError } from "@kata/publisher";
import { describe, expect, test, vi } from "vitest";
import { readLog } from "../support/stream.ts";
import { createRig, numbersOf, upTo, WAYS } from "./rig.ts";

const event = (i: number) => ({ type: "log_entry", payload: { message: "m", i } });

/** A publisher whose way to the log is blocked, with one record of number 0 on it. */
async function blocked(
  way: (typeof WAYS)[number],
  options: Parameters<Awaited<ReturnType<typeof createRig>>["publisher"]>[0] = {},
) {
  const rig = await createRig({ way });
  const publisher = await rig.publisher({ ackTimeoutMs: 60_000, ...options });
  await publisher.publish("agent:b1", event(0));
  rig.proxy.pause();
  const first = publisher.publish("agent:a1", event(0));
  await new Promise((next) => setImmediate(next));
  return { rig, publisher, first, log: async () => numbersOf(await readLog(rig.nc, "kata.team.t1.agent.a1")) };
}

describe.each(WAYS)("over %s", (way) => {
  test("a signal takes back what has not been sent; the others go on as if it had not been there", async () => {
    const { rig, publisher, first, log } = await blocked(way);
    await using _ = rig;
    const stop = new AbortController();
    const before = publisher.stats;
    const all = upTo(30).map((i) =>
      publisher.publish("agent:a1", event(i + 1), i % 3 === 1 ? { signal: stop.signal } : {}),
    );
    const together = publisher.publishMany("agent:a1", [event(100), event(101)], {
      idempotencyKey: "k",
      signal: stop.signal,
    });
    stop.abort();
    const outcomes = await Promise.allSettled(all.filter((_, i) => i % 3 === 1));
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ reason: { code: "aborted", stored: "no", retryable: false } });
    }
    await expect(together).rejects.toMatchObject({ code: "aborted", stored: "no" });
    expect(publisher.stats.queuedEvents).toBe(before.queuedEvents + 20);
    rig.proxy.resume();
    await first;
    await Promise.all(all.filter((_, i) => i % 3 !== 1));
    expect(await log()).toEqual(upTo(31).filter((i) => i % 3 !== 2));
    expect(publisher.stats).toMatchObject({ queuedEvents: 0, queuedBytes: 0, channels: 0 });
  });

  test("a signal takes back all of its events that have not been sent, also those that travel by themselves", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    await publisher.publish("agent:a1", event(0));
    const stop = new AbortController();
    const { signal } = stop;
    const keyed = upTo(3).map((i) => ({ ...event(i + 1), idempotencyKey: `k${i}` }));
    const singly = keyed.map((each) => publisher.publish("agent:a1", each, { signal }));
    const each = publisher.publishEach("agent:a2", keyed, { signal });
    stop.abort();
    for (const outcome of await Promise.allSettled(singly)) {
      expect(outcome).toMatchObject({ reason: { code: "aborted", stored: "no" } });
    }
    for (const outcome of await each) expect(outcome).toMatchObject({ error: { code: "aborted", stored: "no" } });
    await publisher.publish("agent:a1", event(4));
    await publisher.flush();
    expect(numbersOf(await readLog(rig.nc))).toEqual([0, 4]);
    expect(publisher.stats).toMatchObject({ queuedEvents: 0, queuedBytes: 0, channels: 0 });
  });

  test("what is not sent again may be there from an earlier attempt: nothing says that it is not", async () => {
    const { rig, publisher, first } = await blocked(way, { closeTimeoutMs: 50 });
    await using _ = rig;
    const again = (key: string, how: { timeoutMs?: number; signal?: AbortSignal }) =>
      publisher.publishEach("agent:a1", [event(1), event(2)], {
        idempotencyKey: key,
        attempt: { publishId: key, sinceMs: 60_000 },
        ...how,
      });
    const stop = new AbortController();
    const taken = again("k1", { signal: stop.signal });
    const late = again("k2", { timeoutMs: 50 });
    const left = again("k3", {});
    stop.abort();
    const unknown = (code: string) => Array(2).fill({ error: expect.objectContaining({ code, stored: "unknown" }) });
    expect(await taken).toEqual(unknown("aborted"));
    expect(await late).toEqual(unknown("unavailable"));
    const closed = Promise.allSettled([first, publisher.close()]);
    expect(await left).toEqual(unknown("unavailable"));
    await closed;
  });

  test("what is taken back leaves nothing in the queue, however often", async () => {
    const { rig, publisher, first } = await blocked(way);
    await using _ = rig;
    for (let i = 0; i < 5; i++) {
      const stop = new AbortController();
      const taken = publisher.publish("agent:a1", event(1), { signal: stop.signal });
      stop.abort();
      await expect(taken).rejects.toMatchObject({ code: "aborted" });
    }
    const next = publisher.publish("agent:a1", event(2));
    rig.proxy.resume();
    await Promise.all([first, next]);
    expect(publisher.stats).toMatchObject({ queuedEvents: 0, queuedBytes: 0, channels: 0 });
  });

  test("a signal that comes too late says that it is not known, and the event is in the log once", async () => {
    const { rig, publisher, first, log } = await blocked(way);
    await using _ = rig;
    const stop = new AbortController();
    const { signal } = stop;
    const late = publisher.publish("agent:b1", event(1), { signal });
    await new Promise((next) => setImmediate(next));
    stop.abort(new Error("no more"));
    await expect(late).rejects.toMatchObject({ code: "aborted", stored: "unknown" });
    await expect(publisher.publish("agent:a1", event(1), { signal })).rejects.toMatchObject({
      code: "aborted",
      stored: "no",
    });
    rig.proxy.resume();
    await first;
    await publisher.flush();
    expect(await log()).toEqual([0]);
    expect(numbersOf(await readLog(rig.nc, "kata.team.t1.agent.b1"))).toEqual([0, 1]);
  });

  test("one signal for many publishes is no leak, and is let go of by those that are settled", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const warnings: Error[] = [];
    const listen = (warning: Error): number => warnings.push(warning);
    process.on("warning", listen);
    const stop = new AbortController();
    const remove = vi.spyOn(stop.signal, "removeEventListener");
    await Promise.all(upTo(100).map((i) => publisher.publish("agent:a1", event(i), { signal: stop.signal })));
    await new Promise((next) => setImmediate(next));
    process.off("warning", listen);
    expect(warnings).toEqual([]);
    expect(remove).toHaveBeenCalledOnce();
    stop.abort();
    expect(publisher.stats.published).toBe(100);
  });

  test("an event's own time is up before the others' are", async () => {
    const { rig, publisher, first, log } = await blocked(way, { publishTimeoutMs: 60_000 });
    await using _ = rig;
    const patient = publisher.publish("agent:a1", event(1));
    const hasty = publisher.publish("agent:a1", event(2), { timeoutMs: 50 });
    const next = publisher.publish("agent:a1", event(3));
    await expect(hasty).rejects.toMatchObject({ code: "unavailable", stored: "no", retryable: true });
    rig.proxy.resume();
    await Promise.all([first, patient, next]);
    expect(await log()).toEqual([0, 1, 3]);
  });

  test("a full queue refuses with what is in it, takes the next when there is room, and loses nothing it took", async () => {
    const { rig, publisher, first, log } = await blocked(way, { maxQueueBytes: 10_000 });
    await using _ = rig;
    const taken: Promise<unknown>[] = [first];
    let refused: unknown;
    for (let i = 1; refused === undefined && i < 1_000; i++) {
      const before = publisher.stats.queuedEvents;
      const publish = publisher.publish("agent:a1", event(i));
      if (publisher.stats.queuedEvents > before) taken.push(publish);
      else refused = await publish.catch((error: unknown) => error);
    }
    expect(refused).toBeInstanceOf(QueueFullError);
    expect(refused).toBeInstanceOf(PublisherError);
    expect(refused).toMatchObject({ code: "queue_full", retryable: true, stored: "no", maxQueueBytes: 10_000 });
    const { queuedEvents, queuedBytes } = refused as QueueFullError;
    expect(queuedEvents).toBe(taken.length);
    expect(queuedBytes).toBeGreaterThan(9_500);
    expect(queuedBytes).toBeLessThanOrEqual(10_000);
    await expect(publisher.publishMany("agent:a1", [event(-1), event(-2)])).rejects.toBeInstanceOf(QueueFullError);
    rig.proxy.resume();
    await Promise.all(taken);
    await publisher.publish("agent:a1", event(taken.length));
    expect(await log()).toEqual(upTo(taken.length + 1));
  });

  test("what is not ASCII counts its bytes in the queue, but for the last lines of a channel", async () => {
    const { rig, publisher, first } = await blocked(way, { maxQueueBytes: 100_000 });
    await using _ = rig;
    const text = "語".repeat(100);
    const taken: Promise<unknown>[] = [first];
    let refused: unknown;
    for (let i = 0; refused === undefined && i < 1_000; i++) {
      const before = publisher.stats.queuedEvents;
      const publish = publisher.publish("agent:a1", { type: "log_entry", payload: { message: text } });
      if (publisher.stats.queuedEvents > before) taken.push(publish);
      else refused = await publish.catch((error: unknown) => error);
    }
    expect(refused).toBeInstanceOf(QueueFullError);
    // Each has 397 bytes and 256 beside them.
    const { queuedEvents, queuedBytes } = refused as QueueFullError;
    expect(queuedEvents).toBeGreaterThan(145);
    expect(queuedEvents).toBeLessThan(160);
    expect(queuedBytes).toBeLessThan(105_000);
    rig.proxy.resume();
    await Promise.all(taken);
    expect(publisher.stats).toMatchObject({ queuedEvents: 0, queuedBytes: 0 });
  });

  test("several events at once, and records that nothing is added to any more, count their bytes from the start", async () => {
    const { rig, publisher, first } = await blocked(way, { maxQueueBytes: 300_000 });
    await using _ = rig;
    const wide = (length: number) => ({ type: "log_entry", payload: { message: "語".repeat(length) } });
    const many = Array.from({ length: 150 }, () => wide(1_000));
    await expect(publisher.publishMany("agent:a2", many)).rejects.toBeInstanceOf(QueueFullError);
    expect(publisher.stats.queuedEvents).toBe(1);
    // Each a record of its own: by its key, or because another one is opened behind it.
    const before = publisher.stats.queuedBytes;
    const keyed = upTo(10).map((i) => publisher.publish("agent:a2", { ...wide(500), idempotencyKey: `k${i}` }));
    const apart = upTo(11).map((i) =>
      publisher.publish("agent:a2", wide(500), { timeoutMs: i % 2 === 0 ? 20_000 : 60_000 }),
    );
    const each = 1_500 + 256 + 768;
    expect(publisher.stats.queuedBytes - before).toBeGreaterThan(20 * each);
    rig.proxy.resume();
    await Promise.all([first, ...keyed, ...apart]);
    expect(publisher.stats).toMatchObject({ queuedEvents: 0, queuedBytes: 0, channels: 0 });
  });

  test("stats and onRecord tell what has become of everything", async () => {
    const reports: object[] = [];
    const { rig, publisher, first } = await blocked(way, { onRecord: (report) => reports.push(report) });
    await using _ = rig;
    const rest = upTo(10).map((i) => publisher.publish("agent:a1", event(i + 1)));
    const lost = publisher.publish("agent:a1", event(11), { timeoutMs: 20 });
    await expect(lost).rejects.toMatchObject({ code: "unavailable" });
    expect(publisher.stats).toMatchObject({ queuedEvents: 11, channels: 1, published: 1, failed: 1 });
    rig.proxy.resume();
    await Promise.all([first, ...rest]);
    expect(publisher.stats).toMatchObject({
      connected: true,
      queuedEvents: 0,
      queuedBytes: 0,
      published: 12,
      failed: 1,
    });
    expect(reports).toMatchObject([
      { channel: "agent:b1", events: 1, attempts: 1, recovered: false, error: undefined },
      { channel: "agent:a1", events: 1, attempts: 0, error: { code: "unavailable" } },
      { channel: "agent:a1", events: 1, attempts: 1, error: undefined },
      { channel: "agent:a1", events: 10, attempts: 1, error: undefined },
    ]);
    for (const report of reports)
      expect(report).toMatchObject({ bytes: expect.any(Number), tookMs: expect.any(Number) });
  });

  test("an onRecord that throws is reported, and stops nothing", async () => {
    await using rig = await createRig({ way });
    const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
    const publisher = await rig.publisher({
      onRecord: () => {
        throw new Error("the metrics are down");
      },
    });
    await publisher.publish("agent:a1", event(0));
    expect((await warned).message).toContain("the metrics are down");
    await publisher.publish("agent:a1", event(1));
    expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1]);
  });
});

test("an onRecord whose promise is rejected is reported, too", async () => {
  await using rig = await createRig();
  const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
  const publisher = await rig.publisher({
    onRecord: async () => {
      throw new Error("the metrics are down");
    },
  });
  await publisher.publish("agent:a1", event(0));
  expect((await warned).message).toContain("the metrics are down");
});

test("a signal that is aborted by what writes the payload is noticed before anything is taken", async () => {
  await using rig = await createRig();
  const publisher = await rig.publisher();
  const stop = new AbortController();
  const { signal } = stop;
  const payload = {
    toJSON() {
      stop.abort();
      return { message: "m", i: 0 };
    },
  };
  const aborted = { code: "aborted", stored: "no" };
  await expect(publisher.publish("agent:a1", { type: "log_entry", payload }, { signal })).rejects.toMatchObject(
    aborted,
  );
  const second = new AbortController();
  const aborting = {
    toJSON() {
      second.abort();
      return { message: "m" };
    },
  };
  const events = [event(0), { type: "log_entry", payload: aborting }];
  const many = publisher.publishMany("agent:a1", events, { signal: second.signal });
  await expect(many).rejects.toMatchObject(aborted);
  expect(publisher.stats).toMatchObject({ queuedEvents: 0, queuedBytes: 0, channels: 0 });
  expect(await readLog(rig.nc)).toEqual([]);
});

test("a signal that cannot be let go of is none", async () => {
  await using rig = await createRig();
  const publisher = await rig.publisher();
  const signal = { aborted: false, addEventListener: () => undefined } as unknown as AbortSignal;
  await expect(publisher.publish("agent:a1", event(0), { signal })).rejects.toThrow(TypeError);
  await publisher.publish("agent:a1", event(0));
  expect(publisher.stats.channels).toBe(0);
});

test("several events at once count the records that they fill before they are let in", async () => {
  const { rig, publisher, first } = await blocked("user", { maxQueueBytes: 1_000_000, maxRecordEvents: 1 });
  await using _ = rig;
  await expect(publisher.publishMany("agent:a1", upTo(2_700).map(event))).rejects.toBeInstanceOf(QueueFullError);
  const taken = publisher.publishMany("agent:a1", upTo(800).map(event));
  expect(publisher.stats.queuedBytes).toBeLessThanOrEqual(1_000_000);
  rig.proxy.resume();
  await Promise.all([first, taken]);
});

test("several events that are more than the queue by themselves are taken while nothing else waits, and not before", async () => {
  const { rig, publisher, first } = await blocked("user", { maxQueueBytes: 100_000 });
  await using _ = rig;
  const large = upTo(1_000).map(event);
  await expect(publisher.publishMany("agent:a1", large)).rejects.toBeInstanceOf(QueueFullError);
  rig.proxy.resume();
  await first;
  await publisher.flush();
  expect(await publisher.publishMany("agent:a1", large)).toHaveLength(1_000);
});

test.each([0, -1, Number.NaN, "1"])("a timeoutMs of %s is a TypeError", async (timeoutMs) => {
  await using rig = await createRig();
  const publisher = await rig.publisher();
  const options = { timeoutMs: timeoutMs as number };
  await expect(publisher.publish("agent:a1", event(0), options)).rejects.toThrow(TypeError);
  await expect(publisher.publishMany("agent:a1", [event(0)], options)).rejects.toThrow(TypeError);
  expect(publisher.stats.queuedEvents).toBe(0);
});
