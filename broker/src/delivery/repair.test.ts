import { describe, expect, it } from "vitest";
import { createDeliveryRig, NAME, OTHER, SUBJECT } from "../testing/delivery-rig.ts";
import { settle } from "../testing/memory-log.ts";

const NOW = { kind: "now" } as const;
const after = (record: { seq: number; check: string }) =>
  ({ kind: "after", eventId: `a-${record.seq}-${record.check}` }) as const;

describe("attacks invariant 1: a reader that comes while its channel repairs itself", () => {
  it("does not join the end that a new start is about to replace", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    subscribe(NOW);
    await settle();
    const x = log.store(OTHER, "x");
    await channels.audit();
    const three = log.store(SUBJECT, "3", { live: false });
    log.purge(SUBJECT);
    const letGo = log.hold("head");
    const letGoHeads = log.hold("heads");
    log.republish({ ...three, prevSeq: 7 });
    await settle();
    const late = subscribe(after(x));
    await settle();
    log.store(SUBJECT, "4");
    log.letPass("head");
    log.letPass("heads");
    letGo();
    letGoHeads();
    await settle();
    log.store(SUBJECT, "5");
    await settle();
    expect(late.events).toEqual(["4", "5"]);
  });
});

describe("attacks invariant 2: a replica that lags", () => {
  it("does not make the channel's own record another channel's: the rest of it is sent", async () => {
    const { log, subscribe } = createDeliveryRig({ ringBytes: 0 });
    log.store(SUBJECT, "0");
    subscribe(NOW);
    await settle();
    const line = (n: number) => JSON.stringify({ type: "own", timestamp: "t", encoding: "json", payload: `1.${n}` });
    const { seq, check } = log.store(SUBJECT, "", { text: [0, 1, 2].map(line).join("\n") });
    log.store(SUBJECT, "2");
    await settle();
    const read = log.read.bind(log);
    let lag = 1;
    log.read = async (request) => (lag-- > 0 ? { records: [], pending: 0 } : read(request));
    const reader = subscribe({ kind: "after", eventId: `a-${seq}-${check}` });
    await expect.poll(() => reader.got.at(-1)).toBe("caught_up");
    expect(reader.got).toEqual(["subscribed complete", "1.1", "1.2", "2", "caught_up"]);
  });
});

describe("attacks invariant 4: a hole in the live feed", () => {
  it("does not wait for everybody who replays", async () => {
    const { log, subscribe } = createDeliveryRig({
      ringBytes: 0,
      pageCacheBytes: 0,
      pageRecords: 10,
      readsInFlight: 2,
    });
    const records = Array.from({ length: 2_000 }, (_, i) => log.store(SUBJECT, `${i}`));
    const live = subscribe(NOW);
    await settle();
    const letGo = log.hold("read");
    const replaying = Array.from({ length: 200 }, (_, i) => subscribe(after(records[i * 10] as (typeof records)[0])));
    for (const reader of replaying) reader.weight = 2_000;
    await settle();
    log.store(SUBJECT, "9998", { live: false });
    log.store(SUBJECT, "9999");
    await settle();
    const before = log.asked.read;
    log.letPass("read");
    letGo();
    await expect.poll(() => live.events.length, { interval: 1 }).toBe(2);
    expect(log.asked.read - before).toBeLessThan(30);
    expect(live.events).toEqual(["9998", "9999"]);
  });
});

describe("what is kept for those who are gone", () => {
  it("is nothing, also while the log is away and the channel waits for it", async () => {
    const { log, delivery, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    log.connected = false;
    const gone = Array.from({ length: 50 }, () => {
      const reader = subscribe(NOW);
      delivery.end(reader.subscription);
      return reader;
    });
    await settle();
    expect(delivery.channels.open(NAME, SUBJECT).waiting).toBe(0);
    for (const { got } of gone) expect(got).toEqual([]);
  });
});

describe("attacks invariant 4: a channel that may hold nothing while it repairs itself", () => {
  it("lets in who comes, however much comes meanwhile", async () => {
    const { log, channels, subscribe } = createDeliveryRig({ heldBytes: 0, pageRecords: 100, highWaterBytes: 1e9 });
    log.store(SUBJECT, "0");
    const stayed = subscribe(NOW);
    await settle();
    void channels.open(NAME, SUBJECT).repair();
    const late = subscribe(NOW);
    for (let i = 1; i <= 500; i++) {
      log.store(SUBJECT, `${i}`);
      await settle(1);
    }
    expect(late.got[1]).toBe("caught_up");
    await settle();
    const all = Array.from({ length: 500 }, (_, i) => `${i + 1}`);
    expect(stayed.events).toEqual(all);
    expect(late.events).toEqual(all.slice(all.length - late.events.length));
    expect(late.events.length).toBeGreaterThan(400);
  });
});
