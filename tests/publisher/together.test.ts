import { jetstream } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { describe, expect, test } from "vitest";
import { ensureTestStream, readLog } from "../support/stream.ts";
import { createRig, eventIdsOf, numbersOf, upTo, WAYS } from "./rig.ts";

const event = (i: number) => ({ type: "log_entry", payload: { message: "m", i } });

describe.each(WAYS)("events under one key, over %s", (way) => {
  test("are one record, stored once; again they get the eventIds of the first time", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const events = upTo(600).map((i) => event(i));
    const first = await publisher.publishMany("agent:a1", events, { idempotencyKey: "k" });
    const again = await publisher.publishMany("agent:a1", events, { idempotencyKey: "k" });
    const log = await readLog(rig.nc);
    expect(log).toHaveLength(1);
    expect(numbersOf(log)).toEqual(upTo(600));
    expect(first).toEqual(eventIdsOf(log).map((eventId) => ({ eventId, duplicate: false })));
    expect(again).toEqual(eventIdsOf(log).map((eventId) => ({ eventId, duplicate: true })));
  });

  test("other events under the same key are refused, more, fewer, or others", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const events = upTo(3).map((i) => event(i));
    await publisher.publishMany("agent:a1", events, { idempotencyKey: "k" });
    for (const others of [events.slice(0, 2), events.slice(0, 1), [...events, ...events], [...events].reverse()]) {
      const publish = publisher.publishMany("agent:a1", others, { idempotencyKey: "k" });
      await expect(publish).rejects.toMatchObject({ code: "key_taken", stored: "no" });
    }
    const single = await publisher.publish("agent:a1", { ...event(3), idempotencyKey: "one" });
    for (const others of [events, [event(9)]]) {
      const publish = publisher.publishMany("agent:a1", others, { idempotencyKey: "one" });
      await expect(publish).rejects.toMatchObject({ code: "key_taken" });
    }
    // The one event alone is what stands there, whichever way it was published.
    expect(await publisher.publishMany("agent:a1", [event(3)], { idempotencyKey: "one" })).toEqual([
      { ...single, duplicate: true },
    ]);
    const alone = publisher.publish("agent:a1", { ...event(0), idempotencyKey: "k" });
    await expect(alone).rejects.toMatchObject({ code: "key_taken" });
    expect(numbersOf(await readLog(rig.nc))).toEqual(upTo(4));
  });

  test("an attempt that was made elsewhere is recognised by its publishId, also when the stream has forgotten the key", async () => {
    await using rig = await createRig({ way, stream: { duplicate_window: nanos(400) } });
    const publisher = await rig.publisher();
    const before = await publisher.publish("agent:b1", event(0));
    const events = upTo(2).map((i) => event(i));
    const attempt = { publishId: "p1", sinceMs: 0 };
    const first = await publisher.publishMany("agent:a1", events, { idempotencyKey: "k", attempt });
    expect(first.map(({ duplicate }) => duplicate)).toEqual([false, false]);
    // Until JetStream takes another message with the same id: then it has forgotten it.
    await expect
      .poll(async () => (await jetstream(rig.nc).publish("kata.team.t1.agent.b1", "x", { msgID: "probe" })).duplicate)
      .toBe(false);
    const messageId = (await readLog(rig.nc, "kata.team.t1.agent.a1"))[0]?.messageId ?? "";
    expect(messageId).not.toBe("");
    for (const after of [before.eventId, undefined, "other-9-aaaa"]) {
      const again = { publishId: "p1", sinceMs: 60_000, after };
      const results = await publisher.publishMany("agent:a1", events, { idempotencyKey: "k", attempt: again });
      expect(results).toEqual(first);
      const others = { publishId: "p2", sinceMs: 60_000, after };
      const theirs = await publisher.publishMany("agent:a1", events, { idempotencyKey: "k", attempt: others });
      expect(theirs).toEqual(first.map(({ eventId }) => ({ eventId, duplicate: true })));
    }
    expect(numbersOf(await readLog(rig.nc, "kata.team.t1.agent.a1"))).toEqual([0, 1]);
  });

  test("what is not stored yet is stored, whatever is said of earlier attempts", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const attempt = { publishId: "p1", sinceMs: 3_600_000 };
    const results = await publisher.publishMany("agent:a1", [event(0)], { idempotencyKey: "k", attempt });
    expect(results).toMatchObject([{ duplicate: false }]);
    expect(numbersOf(await readLog(rig.nc))).toEqual([0]);
  });
});

test("too many, too large, keys of their own, an attempt that is none: refused before anything is sent", async () => {
  await using rig = await createRig({ stream: false });
  await ensureTestStream(rig.nc);
  const publisher = await rig.publisher({ maxRecordEvents: 10 });
  const many = (events: Parameters<typeof publisher.publishMany>[1], options: object) =>
    publisher.publishMany("agent:a1", events, options);
  const key = { idempotencyKey: "k" };
  await expect(many(upTo(11).map(event), key)).rejects.toMatchObject({ code: "too_large" });
  const long = { type: "log_entry", payload: { message: "x".repeat(300_000) } };
  await expect(many([long, long], key)).rejects.toMatchObject({ code: "too_large" });
  await expect(many([{ ...event(0), idempotencyKey: "own" }], key)).rejects.toMatchObject({ code: "invalid_event" });
  await expect(many([event(0)], { idempotencyKey: "" })).rejects.toMatchObject({ code: "invalid_event" });
  await expect(many([event(0)], { attempt: { publishId: "p", sinceMs: 0 } })).rejects.toThrow(TypeError);
  await expect(many([event(0)], { ...key, attempt: { publishId: "a b", sinceMs: 0 } })).rejects.toThrow(TypeError);
  await expect(many([event(0)], { ...key, attempt: { publishId: "p", sinceMs: -1 } })).rejects.toThrow(TypeError);
  expect(publisher.stats.queuedEvents).toBe(0);
  expect(rig.seen).toEqual([]);
});
