import { describe, expect, it } from "vitest";
import { createDeliveryRig, NAME, OTHER, SUBJECT } from "../testing/delivery-rig.ts";
import { type MemoryLog, settle } from "../testing/memory-log.ts";

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

  it("a tail that the log lost is told, and what now stands there is sent", async () => {
    const { log, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    const reader = subscribe(NOW);
    await settle();
    log.store(SUBJECT, "2");
    log.loseTail(2);
    log.store(SUBJECT, "3", { live: false });
    log.tell("reconnected");
    await settle();
    expect(reader.got).toEqual([
      "subscribed fresh",
      "caught_up",
      "2",
      "subscribed gap rewritten",
      "1",
      "3",
      "caught_up",
    ]);
  });
});

describe("a connection that is back", () => {
  it("nothing live is believed before the channel has looked: the log may have handed out the same sequences again", async () => {
    const { log, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    const reader = subscribe(NOW);
    await settle();
    log.store(SUBJECT, "2");
    log.loseTail(2);
    log.store(SUBJECT, "other 2", { live: false });
    log.tell("reconnected");
    // It follows the head that the channel has, and yet another one.
    log.store(SUBJECT, "3");
    await settle();
    expect(reader.got.slice(2)).toEqual(["2", "subscribed gap rewritten", "1", "other 2", "3", "caught_up"]);
  });

  it("a lost end that was another channel's is no gap for this one", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    const reader = subscribe(NOW);
    await settle();
    log.store(OTHER, "x");
    await channels.audit();
    log.loseTail(2);
    log.store(OTHER, "other x");
    log.store(SUBJECT, "2", { live: false });
    log.tell("reconnected");
    await settle();
    log.store(SUBJECT, "3");
    expect(reader.got.slice(2)).toEqual(["2", "3"]);
  });

  it("an outage during a repair makes it start over", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    const reader = subscribe(NOW);
    await settle();
    const letGo = log.hold("heads");
    void channels.open(NAME, SUBJECT).repair();
    await settle();
    log.letPass("heads");
    log.store(SUBJECT, "2", { live: false });
    log.tell("reconnected");
    letGo();
    await settle();
    expect(reader.events).toEqual(["2"]);
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

describe("a stream made anew", () => {
  it("what was found in one life of the log says nothing in the next", async () => {
    const { log, subscribe } = createDeliveryRig();
    const anchor = log.store(OTHER, "0");
    log.store(SUBJECT, "1");
    subscribe(NOW);
    await settle();
    const letGo = log.hold("at");
    const reader = subscribe(after(anchor));
    await settle();
    log.letPass("at");
    log.recreate("b");
    log.store(SUBJECT, "b1", { live: false });
    await log.state();
    await settle();
    letGo();
    await expect.poll(() => reader.got).toEqual(["subscribed gap reset", "b1", "caught_up"]);
  });

  it("a reach that it overtakes does not mark the new life complete", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    const stayed = subscribe(NOW);
    await settle();
    for (let i = 2; i <= 9; i++) log.store(OTHER, `${i}`);
    const nine = await peek(log, 9);
    const letGo = log.hold("heads");
    subscribe(after(nine));
    await settle();
    log.letPass("heads");
    log.recreate("b");
    await log.state();
    letGo();
    await settle();
    const channel = channels.open(NAME, SUBJECT);
    await expect.poll(() => [channel.epoch, channel.mark.seq]).toEqual(["b", 0]);
    log.store(SUBJECT, "b1");
    await settle();
    expect(stayed.got).toEqual(["subscribed fresh", "caught_up", "subscribed gap reset", "caught_up", "b1"]);
  });

  it("is noticed by a quiet channel that was just repairing", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    log.store(SUBJECT, "2");
    const reader = subscribe(NOW);
    await settle();
    const letGo = log.hold("heads");
    void channels.open(NAME, SUBJECT).repair();
    await settle();
    log.recreate("b");
    log.letPass("heads");
    await log.state();
    await settle();
    letGo();
    await settle();
    // As far as the old one was: the numbers alone tell nothing.
    for (let i = 0; i < 2; i++) log.store(OTHER, "x");
    await channels.audit();
    await expect.poll(() => reader.got.slice(2)).toEqual(["subscribed gap reset", "caught_up"]);
  });

  it("an audit that began before it says nothing of the new life", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    subscribe(NOW);
    await settle();
    for (let i = 2; i <= 9; i++) log.store(OTHER, `${i}`);
    const letGo = log.hold("heads");
    const audit = channels.audit();
    await settle();
    log.letPass("heads");
    log.recreate("b");
    await log.state();
    await settle();
    letGo();
    await audit;
    await settle();
    const channel = channels.open(NAME, SUBJECT);
    expect([channel.epoch, channel.mark.seq]).toEqual(["b", 0]);
  });

  it("an unsubscribe while the place is looked for anew names the place in the old life", async () => {
    const { log, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    const reader = subscribe(NOW);
    await settle();
    const two = log.store(SUBJECT, "2");
    log.recreate("b");
    await log.state();
    const letGo = log.hold("read");
    await settle();
    expect(reader.subscription.close()).toBe(`a-2-${two.check}`);
    letGo();
  });
});

async function peek(log: { at(seq: number): Promise<{ seq: number; check: string } | undefined> }, seq: number) {
  const record = await log.at(seq);
  if (record === undefined) throw new Error(`nothing stands at ${seq}`);
  return record;
}
