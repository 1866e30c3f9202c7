import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { describe, expect, test, vi } from "vitest";
import { idempotentMessageId } from "../../publisher-sdk/src/message-id.ts";
import { readLog } from "../support/stream.ts";
import { createRig, eventIdsOf, numbersOf, repeatedIds, upTo, WAYS } from "./rig.ts";

const event = (i: number, idempotencyKey?: string) => ({
  type: "log_entry",
  payload: { message: "m", i },
  ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
});

describe.each(WAYS)("over %s", (way) => {
  test("the same key gives the same eventId, and duplicate says so", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const other = await rig.publisher();
    const first = await publisher.publish("agent:a1", event(0, "order-1"));
    const again = await publisher.publish("agent:a1", event(1, "order-1"));
    const elsewhere = await other.publish("agent:a1", event(2, "order-1"));
    expect(first.duplicate).toBe(false);
    expect(again).toEqual({ eventId: first.eventId, duplicate: true });
    expect(elsewhere).toEqual(again);
    expect(numbersOf(await readLog(rig.nc))).toEqual([0]);
  });

  test("the same key is a duplicate as well when the event that was stored has been trimmed", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const first = await publisher.publish("agent:a1", event(0, "order-1"));
    await publisher.publish("agent:b1", event(1));
    const { streams } = await jetstreamManager(rig.nc);
    await streams.purge("KATA", { seq: 2 });
    expect(await publisher.publish("agent:a1", event(2, "order-1"))).toEqual({
      eventId: first.eventId,
      duplicate: true,
    });
    expect(numbersOf(await readLog(rig.nc))).toEqual([1]);
  });

  // A broker makes the ids with the team's own secret.
  test.skipIf(way === "http")("an id that stands on another subject is no duplicate, but an error", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ idempotencySecret: "s1" });
    const messageId = idempotentMessageId("kata.team.t1.agent.a1", "order-1", "s1");
    await jetstream(rig.nc).publish("kata.team.t2", "", { msgID: messageId });
    const refused = { code: "key_taken", retryable: false, stored: "no" };
    await expect(publisher.publish("agent:a1", event(0, "order-1"))).rejects.toMatchObject(refused);
    expect(await publisher.publish("agent:a1", event(1, "order-2"))).toMatchObject({ duplicate: false });
    expect(numbersOf(await readLog(rig.nc, "kata.team.t1.agent.a1"))).toEqual([1]);
  });

  test.each(["a b", " ", "é", "💥", "\n", "x".repeat(128), "ß".repeat(128), "k#1"])(
    "the key %j counts as it is",
    async (key) => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher();
      const other = await rig.publisher({ connection: rig.nc });
      const first = await publisher.publish("agent:a1", event(0, key));
      expect(first.duplicate).toBe(false);
      expect(await other.publish("agent:a1", event(1, key))).toEqual({ ...first, duplicate: true });
      expect(await publisher.publish("agent:a1", event(2, `${[...key].slice(1).join("")}z`))).toMatchObject({
        duplicate: false,
      });
    },
  );

  test.skipIf(way === "http")("a key counts for its channel, and another secret makes other ids", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const secretive = await rig.publisher({ idempotencySecret: "s1" });
    await publisher.publish("agent:a1", event(0, "k"));
    expect(await publisher.publish("agent:b1", event(1, "k"))).toMatchObject({ duplicate: false });
    expect(await secretive.publish("agent:a1", event(2, "k"))).toMatchObject({ duplicate: false });
    const log = await readLog(rig.nc);
    expect(new Set(log.map((record) => record.messageId)).size).toBe(3);
    expect(log.every((record) => /^k-[A-Za-z0-9_-]{43}$/.test(record.messageId))).toBe(true);
  });

  test("an attempt's place in the log is an eventId, or the attempt is none", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    for (const after of ["nonsense", "a-1-abcd\n", 5 as unknown as string]) {
      const attempt = { publishId: "p1", sinceMs: 1, after };
      const published = publisher.publishMany("agent:a1", [event(0)], { idempotencyKey: "k", attempt });
      await expect(published).rejects.toThrow(TypeError);
    }
    expect(publisher.stats).toMatchObject({ queuedEvents: 0, channels: 0 });
  });

  test("an event with a key travels alone and keeps its place", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const results = await Promise.all(
      upTo(12).map((i) => publisher.publish("agent:a1", event(i, i % 5 === 3 ? `k${i}` : undefined))),
    );
    const log = await readLog(rig.nc);
    expect(numbersOf(log)).toEqual(upTo(12));
    expect(log.map((record) => record.lines.length)).toEqual([3, 1, 4, 1, 3]);
    expect(results.map((result) => result.eventId)).toEqual(eventIdsOf(log));
  });

  test("publishMany says for each event whether it was there already", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const events = [event(0, "a"), event(1, "b"), event(2)];
    const first = await publisher.publishMany("agent:a1", events);
    const again = await publisher.publishMany("agent:a1", events);
    expect(first.map((result) => result.duplicate)).toEqual([false, false, false]);
    expect(again.map((result) => result.duplicate)).toEqual([true, true, false]);
    expect(again.slice(0, 2).map((result) => result.eventId)).toEqual(
      first.slice(0, 2).map((result) => result.eventId),
    );
  });

  test("our own retry is no duplicate: the acknowledgement was lost, the event was new", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    await publisher.publish("agent:a1", event(0));
    // The next bytes from the server are the acknowledgement.
    const cut = rig.proxy.cutAfter(10, "server");
    const result = publisher.publish("agent:a1", event(1, "k"));
    await cut;
    expect(await result).toMatchObject({ duplicate: false });
    const log = await readLog(rig.nc);
    expect(numbersOf(log)).toEqual([0, 1]);
    expect(repeatedIds(rig.seen)).toEqual([log[1]?.messageId]);
    expect((await result).eventId).toBe(log[1]?.eventIds[0]);
  });

  test("an earlier publish is told from our own retry when the acknowledgement is lost", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const other = await rig.publisher({ connection: rig.nc });
    const first = await other.publish("agent:a1", event(0, "k"));
    await publisher.publish("agent:b1", event(0));
    const cut = rig.proxy.cutAfter(10, "server");
    const result = publisher.publish("agent:a1", event(1, "k"));
    await cut;
    expect(await result).toEqual({ eventId: first.eventId, duplicate: true });
    await vi.waitFor(() => expect(repeatedIds(rig.seen)).toHaveLength(1));
  });
});
