import { describe, expect, it } from "vitest";
import { createDeliveryRig, OTHER, SUBJECT } from "../testing/delivery-rig.ts";
import { type MemoryLog, settle } from "../testing/memory-log.ts";

const NOW = { kind: "now" } as const;
const after = (record: { seq: number; check: string }) =>
  ({ kind: "after", eventId: `a-${record.seq}-${record.check}` }) as const;

// Invariant 5: what a mass reconnect costs the log.

describe("what is asked of the log (invariant 5)", () => {
  const asked = ({ asked: { state, head, at, read, heads } }: MemoryLog) => state + head + at + read + heads;

  it("a thousand channels that open at once share what is asked", async () => {
    const { log, channels } = createDeliveryRig();
    log.store(OTHER, "x");
    const opened = Array.from({ length: 1_000 }, (_, i) => channels.open(`agent:${i}`, `kata.team.demo.agent.${i}`));
    await Promise.all(opened.map((channel) => channel.settled()));
    // The first one's look, and two for all others, which are more than one look takes: of four questions each.
    expect(asked(log)).toBeLessThanOrEqual(12);
  });

  it("readers that come back to fifty places share the pages between them", async () => {
    const { log, subscribe } = createDeliveryRig({ ringBytes: 0, pageRecords: 100 });
    const records = Array.from({ length: 100 }, (_, i) => log.store(SUBJECT, `${i}`));
    const readers = records.slice(0, 50).map((record) => subscribe(after(record)));
    await settle();
    for (const [i, reader] of readers.entries()) expect(reader.events).toHaveLength(99 - i);
    expect(asked(log)).toBeLessThanOrEqual(8);
  });

  it("readers that come one after the other are served from what was read for the first", async () => {
    const { log, subscribe } = createDeliveryRig({ ringBytes: 0, pageRecords: 100 });
    const records = Array.from({ length: 100 }, (_, i) => log.store(SUBJECT, `${i}`));
    for (const record of records.slice(10, 40)) {
      const reader = subscribe(after(record));
      await settle();
      expect(reader.got.at(-1)).toBe("caught_up");
    }
    expect(asked(log)).toBeLessThanOrEqual(8);
  });

  it("a thousand that come back after their places were trimmed ask hardly more than one", async () => {
    const { log, subscribe } = createDeliveryRig({ ringBytes: 0, pageRecords: 1_000 });
    const records = Array.from({ length: 1_000 }, (_, i) => log.store(SUBJECT, `${i}`));
    log.store(SUBJECT, "left");
    log.trim(1_001);
    const readers = records.map((record) => subscribe(after(record)));
    await settle();
    // The last one before what is left may be a place that nothing is missing behind, for all that is known.
    for (const { got } of readers) expect(got).toEqual(["subscribed gap expired", "left", "caught_up"]);
    expect(asked(log)).toBeLessThanOrEqual(30);
  });

  it("a thousand that rewind by a count ask hardly more than one", async () => {
    const { log, subscribe } = createDeliveryRig({ ringBytes: 0, pageRecords: 1_000 });
    for (let i = 0; i < 1_000; i++) log.store(SUBJECT, `${i}`);
    const readers = Array.from({ length: 1_000 }, () => subscribe({ kind: "rewind", rewind: { count: 50 } }));
    await settle(200);
    for (const reader of readers) expect(reader.events).toHaveLength(50);
    expect(asked(log)).toBeLessThanOrEqual(60);
  });

  it("a place that an audit found is known, whoever comes back to it later, and when the log has moved on", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    const reader = subscribe(NOW);
    await settle();
    const audited = log.store(OTHER, "x");
    await channels.audit();
    expect(reader.subscription.sentUpTo?.position.seq).toBe(audited.seq);
    log.store(OTHER, "y");
    await channels.audit();
    const before = asked(log);
    const late = Array.from({ length: 10 }, () => subscribe(after(audited)));
    await settle();
    for (const { got } of late) expect(got).toEqual(["subscribed complete", "caught_up"]);
    expect(asked(log)).toBe(before);
  });

  it("and is asked for again where something behind it may have gone before the channel opened", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    subscribe(NOW);
    await settle();
    const audited = log.store(OTHER, "x");
    await channels.audit();
    const quiet = "kata.team.demo.agent.quiet";
    log.store(quiet, "2");
    log.store(OTHER, "y");
    log.trim(4);
    const channel = channels.open("agent:quiet", quiet);
    await channel.settled();
    expect(channel.seen(audited.seq)).toBeUndefined();
    expect(channel.seen(4)).toBeDefined();
  });

  it("readers that come back for the same seconds ask once", async () => {
    const { log, subscribe } = createDeliveryRig({ ringBytes: 0, pageRecords: 100 });
    for (let i = 0; i < 20; i++) log.store(SUBJECT, `${i}`);
    subscribe(NOW);
    await settle();
    const before = asked(log);
    const readers = Array.from({ length: 500 }, () => subscribe({ kind: "rewind", rewind: { seconds: 60 } }));
    await settle();
    for (const reader of readers) expect(reader.events).toHaveLength(20);
    // Half of them may come in the next second.
    expect(asked(log) - before).toBeLessThanOrEqual(20);
  });

  it("those who leave while the start of their rewind is looked for cost nothing more", async () => {
    const { log, delivery, subscribe } = createDeliveryRig({ ringBytes: 1_000, pageRecords: 100, readsInFlight: 4 });
    const records = Array.from({ length: 2_000 }, (_, i) => log.store(SUBJECT, `${i}`));
    subscribe(NOW);
    await settle();
    for (let i = 0; i < 100; i++) {
      const gone = subscribe({ kind: "rewind", rewind: { count: 1_000 + i } });
      await settle(3);
      delivery.end(gone.subscription);
    }
    const before = log.asked.read;
    const late = subscribe(after(records[1_000] as (typeof records)[0]));
    await expect.poll(() => late.events.length, { interval: 1 }).toBe(999);
    expect(log.asked.read - before).toBeLessThan(60);
    expect(delivery.usage.readsWaiting).toBe(0);
  });

  it("different rewinds of one channel are looked for one after the other: others have their turn", async () => {
    const { log, delivery, subscribe } = createDeliveryRig({ ringBytes: 1_000, pageRecords: 100, readsInFlight: 4 });
    for (let i = 0; i < 2_000; i++) log.store(SUBJECT, `${i}`);
    subscribe(NOW);
    await settle();
    const readers = Array.from({ length: 50 }, (_, i) => subscribe({ kind: "rewind", rewind: { count: 1_000 + i } }));
    await settle(5);
    expect(delivery.usage.readsInFlight + delivery.usage.readsWaiting).toBeLessThanOrEqual(2);
    for (const [i, reader] of readers.entries()) {
      await expect.poll(() => reader.events.length, { interval: 1, timeout: 10_000 }).toBe(1_000 + i);
    }
  });
});
