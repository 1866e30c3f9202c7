import { describe, expect, it } from "vitest";
import { createDeliveryRig, NAME, OTHER, SUBJECT } from "../testing/delivery-rig.ts";
import { settle } from "../testing/memory-log.ts";

// The interleavings that a real server shows once in a thousand runs, one by one.

const NOW = { kind: "now" } as const;
const ALL = { kind: "rewind", rewind: "all" } as const;
const after = (record: { seq: number; check: string }) =>
  ({ kind: "after", eventId: `a-${record.seq}-${record.check}` }) as const;

describe("joining", () => {
  it("an anchor that the live feed has not brought: nothing up to it is sent again", async () => {
    const { log, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    const early = subscribe(NOW);
    await settle();
    const two = log.store(SUBJECT, "2", { live: false });
    const reader = subscribe(after(two));
    await settle();
    log.republish(two);
    await settle();
    log.store(SUBJECT, "3");
    await settle();
    expect(reader.got).toEqual(["subscribed complete", "caught_up", "3"]);
    expect(early.events).toEqual(["2", "3"]);
  });

  it("an anchor of another channel, on a quiet one: there is nothing to catch up with", async () => {
    const { log, subscribe } = createDeliveryRig();
    const anchor = log.store(OTHER, "x");
    log.store(OTHER, "y");
    const reader = subscribe(after(anchor));
    await settle();
    log.store(SUBJECT, "1");
    expect(reader.got).toEqual(["subscribed complete", "caught_up", "1"]);
  });

  it("what comes while a reader waits to drain is sent before it joins", async () => {
    const { log, subscribe } = createDeliveryRig();
    const one = log.store(SUBJECT, "1");
    subscribe(NOW);
    await settle();
    log.store(SUBJECT, "2");
    log.store(SUBJECT, "3");
    const reader = subscribe(after(one));
    reader.weight = 501;
    await settle();
    expect(reader.events).toEqual(["2"]);
    log.store(SUBJECT, "4");
    reader.weight = 0;
    reader.drain();
    await settle();
    log.store(SUBJECT, "5");
    expect(reader.events).toEqual(["2", "3", "4", "5"]);
  });

  it.each([
    ["all", ALL, "read"],
    ["all", ALL, "head"],
    ["seconds", { kind: "rewind", rewind: { seconds: 60 } }, "read"],
    ["a gap", { kind: "gap", reason: "unknown" }, "head"],
  ] as const)(
    "what comes while the log is asked for the past of an empty channel is sent (%s, %#)",
    async (_what, request, asked) => {
      const { log, subscribe } = createDeliveryRig();
      log.store(OTHER, "x");
      subscribe(NOW);
      await settle();
      const letGo = log.hold(asked);
      const reader = subscribe(request);
      await settle();
      log.store(SUBJECT, "1");
      letGo();
      await settle();
      log.store(SUBJECT, "2");
      await expect.poll(() => reader.events).toEqual(["1", "2"]);
    },
  );

  it("a thousand that resume at one place ask the log once", async () => {
    const { log, subscribe } = createDeliveryRig({ ringBytes: 0, pageRecords: 100 });
    const one = log.store(SUBJECT, "1");
    for (let i = 2; i <= 50; i++) log.store(SUBJECT, `${i}`);
    const readers = Array.from({ length: 1_000 }, () => subscribe(after(one)));
    await settle();
    for (const reader of readers) expect(reader.events).toHaveLength(49);
    const { at, read } = log.asked;
    expect(at + read).toBeLessThanOrEqual(5);
  });
});

describe("replay", () => {
  it("a trim under a reader that replays is told before the next event", async () => {
    const { log, subscribe } = createDeliveryRig();
    for (let i = 1; i <= 6; i++) log.store(SUBJECT, `${i}`);
    const reader = subscribe(ALL);
    reader.weight = 501;
    await settle();
    expect(reader.got).toEqual(["subscribed fresh", "1"]);
    log.trim(5);
    reader.weight = 0;
    reader.drain();
    await settle();
    expect(reader.got).toEqual(["subscribed fresh", "1", "2", "subscribed gap expired", "5", "6", "caught_up"]);
  });

  it("a purge of the channel under a reader that replays is told, and what comes then is sent", async () => {
    const { log, subscribe } = createDeliveryRig();
    log.store(OTHER, "x");
    for (let i = 1; i <= 6; i++) log.store(SUBJECT, `${i}`);
    const reader = subscribe(ALL);
    reader.weight = 501;
    await settle();
    log.purge(SUBJECT);
    reader.weight = 0;
    reader.drain();
    await settle();
    log.store(SUBJECT, "7");
    await settle();
    // Said twice: of the events that were due, and of the head, which is gone as well when the next one comes.
    expect(reader.got.slice(0, 5)).toEqual(["subscribed fresh", "1", "2", "subscribed gap expired", "caught_up"]);
    expect(reader.events).toEqual(["1", "2", "7"]);
  });

  it("a purge of a part of the channel under a reader that replays is told", async () => {
    const { log, subscribe } = createDeliveryRig();
    log.store(OTHER, "x");
    for (let i = 1; i <= 6; i++) log.store(SUBJECT, `${i}`);
    const reader = subscribe(ALL);
    reader.weight = 501;
    await settle();
    log.purge(SUBJECT, 6);
    reader.weight = 0;
    reader.drain();
    await settle();
    expect(reader.got).toEqual(["subscribed fresh", "1", "2", "subscribed gap expired", "5", "6", "caught_up"]);
  });

  it("rewind over a head that was trimmed gives what is left", async () => {
    const { log, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    subscribe(NOW);
    await settle();
    log.trim(2);
    const reader = subscribe({ kind: "rewind", rewind: { count: 3 } });
    await settle();
    log.store(SUBJECT, "2");
    await settle();
    expect(reader.got).toEqual(["subscribed fresh", "caught_up", "2"]);
  });

  it("records without a valid event are passed over, also at the end", async () => {
    const { log, subscribe } = createDeliveryRig({ ringBytes: 0 });
    log.store(SUBJECT, "1");
    for (let i = 0; i < 7; i++) log.store(SUBJECT, "", { text: "no event" });
    const reader = subscribe(ALL);
    await settle();
    log.store(SUBJECT, "2");
    expect(reader.got).toEqual(["subscribed fresh", "1", "caught_up", "2"]);
    const rewound = subscribe({ kind: "rewind", rewind: { count: 2 } });
    await settle();
    expect(rewound.events).toEqual(["1", "2"]);
  });
});

describe("the live feed", () => {
  it("a hole is read from the log before the record behind it", async () => {
    const { log, subscribe } = createDeliveryRig();
    const reader = subscribe(NOW);
    await settle();
    log.store(SUBJECT, "1");
    log.store(SUBJECT, "2", { live: false });
    log.store(SUBJECT, "3");
    await settle();
    expect(reader.got).toEqual(["subscribed fresh", "caught_up", "1", "2", "3"]);
  });

  it("what cannot be read is looked for in the log", async () => {
    const { log, subscribe } = createDeliveryRig();
    const reader = subscribe(NOW);
    await settle();
    log.store(SUBJECT, "1", { live: false });
    log.garble(SUBJECT);
    await settle();
    expect(reader.events).toEqual(["1"]);
  });

  it("a record that came live and was trimmed before the hole in front of it could be read is told as a gap", async () => {
    const { log, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    const reader = subscribe(NOW);
    await settle();
    log.store(SUBJECT, "2", { live: false });
    const three = log.store(SUBJECT, "3", { live: false });
    log.trim(4);
    log.republish(three);
    await settle();
    log.store(SUBJECT, "4");
    await settle();
    expect(reader.got).toEqual(["subscribed fresh", "caught_up", "subscribed gap expired", "caught_up", "4"]);
    expect(log.asked.head).toBeLessThan(10);
  });

  it("so is one that was purged, with what stood before it, while the channel's own place still stands", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    const reader = subscribe(NOW);
    await settle();
    log.store(OTHER, "x");
    await channels.audit();
    const three = log.store(SUBJECT, "3", { live: false });
    log.purge(SUBJECT);
    log.republish({ ...three, prevSeq: 7 });
    await settle();
    expect(log.asked.head).toBeLessThan(10);
    log.store(SUBJECT, "4");
    await settle();
    expect(reader.got).toEqual(["subscribed fresh", "caught_up", "subscribed gap expired", "caught_up", "4"]);
  });

  it("a reader over the mark leaves the topic, and comes back where it was", async () => {
    const { log, subscribe, live } = createDeliveryRig();
    const reader = subscribe(NOW);
    await settle();
    reader.load = 2_000;
    log.store(SUBJECT, `1${"x".repeat(300_000)}`);
    await settle();
    log.store(SUBJECT, "2");
    await settle();
    expect([live(), reader.events.length]).toEqual([0, 1]);
    expect(reader.subscription.sentUpTo?.position.seq).toBe(1);
    reader.drain();
    await settle();
    log.store(SUBJECT, "3");
    expect(reader.events.slice(1)).toEqual(["2", "3"]);
  });

  it("what was stored while the log was away is read when it is back, without an audit or a next event", async () => {
    const { log, subscribe } = createDeliveryRig();
    const reader = subscribe(NOW);
    await settle();
    log.connected = false;
    log.tell("disconnected");
    log.store(SUBJECT, "1", { live: false });
    log.connected = true;
    log.tell("reconnected");
    await settle();
    expect(reader.got).toEqual(["subscribed fresh", "caught_up", "1"]);
  });
});

describe("the audit", () => {
  it("finds a lost last message, and marks the others complete", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    const reader = subscribe(NOW);
    await settle();
    log.store(SUBJECT, "1", { live: false });
    log.store(OTHER, "x");
    await channels.audit();
    await settle();
    expect(reader.events).toEqual(["1"]);
    expect(channels.open(NAME, SUBJECT).mark.seq).toBe(2);
  });

  it("takes the answer of a replica that lags for none", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    const reader = subscribe(NOW);
    await settle();
    const heads = log.heads.bind(log);
    log.heads = async () => new Map();
    log.store(SUBJECT, "1", { live: false });
    await channels.audit();
    expect(channels.open(NAME, SUBJECT).mark.seq).toBe(0);
    log.heads = heads;
    await channels.audit();
    await settle();
    expect(reader.events).toEqual(["1"]);
  });
});

describe("the audited place", () => {
  it("is a record of several events, of another channel: each of them can be resumed from", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    subscribe(NOW);
    await settle();
    const line = JSON.stringify({ type: "own", timestamp: "t", encoding: "json", payload: "x" });
    const { seq, check } = log.store(OTHER, "", { text: [line, line, line].join("\n") });
    await channels.audit();
    expect(channels.open(NAME, SUBJECT).mark.seq).toBe(seq);
    for (const n of ["", ".1", ".2"]) {
      const reader = subscribe({ kind: "after", eventId: `a-${seq}-${check}${n}` });
      await settle();
      expect(reader.got).toEqual(["subscribed complete", "caught_up"]);
    }
  });
});
