import { describe, expect, it } from "vitest";
import { createDeliveryRig, NAME, OTHER, SUBJECT } from "../testing/delivery-rig.ts";
import { settle } from "../testing/memory-log.ts";

// The log comes back without its end, and hands the same sequences out again: nothing that was believed of that end may be.

const NOW = { kind: "now" } as const;
const ALL = { kind: "rewind", rewind: "all" } as const;
const LONG = "x".repeat(300_000);

describe("attacks invariants 1 and 2: a reader that stands at another channel's record which the log then loses", () => {
  async function standAtNine() {
    const rig = createDeliveryRig();
    rig.log.store(SUBJECT, "1");
    for (let i = 2; i <= 9; i++) rig.log.store(OTHER, "x");
    return { ...rig, reader: rig.subscribe(NOW) };
  }

  it("misses nothing when it falls behind", async () => {
    const { log, reader } = await standAtNine();
    await settle();
    log.loseTail(2);
    log.tell("reconnected");
    await settle();
    log.store(SUBJECT, "2");
    reader.load = 2_000;
    log.store(SUBJECT, `3${LONG}`);
    await settle();
    log.store(SUBJECT, "4");
    log.store(SUBJECT, "5");
    await settle();
    reader.drain();
    await settle();
    log.store(SUBJECT, "6");
    expect(reader.got.map((each) => each.slice(0, 16))).toEqual([
      "subscribed fresh",
      "caught_up",
      "2",
      `3${"x".repeat(15)}`,
      "4",
      "5",
      "6",
    ]);
  });

  it("nor when it rests there", async () => {
    const { log, reader } = await standAtNine();
    reader.load = 2_000;
    await settle();
    log.loseTail(2);
    log.tell("reconnected");
    await settle();
    log.store(SUBJECT, "2");
    log.store(SUBJECT, "3");
    await settle();
    reader.drain();
    await settle();
    log.store(SUBJECT, "4");
    expect(reader.got).toEqual(["subscribed fresh", "2", "3", "caught_up", "4"]);
  });

  it("nor when the log has grown past that place again before the channel looks", async () => {
    const { log, reader } = await standAtNine();
    reader.load = 2_000;
    await settle();
    log.loseTail(2);
    log.store(SUBJECT, "2", { live: false });
    for (let i = 3; i <= 12; i++) log.store(OTHER, "y");
    log.tell("reconnected");
    await settle();
    reader.drain();
    await settle();
    log.store(SUBJECT, "3");
    expect(reader.got).toEqual(["subscribed fresh", "2", "caught_up", "3"]);
  });

  it("nor when its start is just being looked for", async () => {
    const { log, subscribe } = await standAtNine();
    await settle();
    const place = await log.at(5);
    const letGo = log.hold("at");
    const late = subscribe({ kind: "after", eventId: `a-5-${place?.check}` });
    await settle();
    log.letPass("at");
    log.loseTail(2);
    log.tell("reconnected");
    await settle();
    log.store(SUBJECT, "2");
    letGo();
    await expect.poll(() => late.got).toContain("caught_up");
    log.store(SUBJECT, "3");
    expect(late.got).toEqual(["subscribed gap unknown", "1", "2", "caught_up", "3"]);
  });
});

describe("attacks invariants 2 and 3: what was read or heard before the end was lost", () => {
  it("a page is not believed afterwards", async () => {
    const { log, channels, subscribe } = createDeliveryRig({ ringBytes: 0, pageRecords: 10 });
    log.store(OTHER, "x");
    log.store(SUBJECT, "1");
    const stayed = subscribe(NOW);
    await settle();
    log.store(SUBJECT, "2", { live: false });
    log.store(SUBJECT, "3", { live: false });
    subscribe(ALL);
    await settle();
    log.connected = false;
    log.tell("disconnected");
    log.loseTail(3);
    log.store(SUBJECT, "2 other", { live: false });
    log.store(SUBJECT, "3 other", { live: false });
    log.connected = true;
    log.tell("reconnected");
    await settle();
    log.store(SUBJECT, "4");
    await settle();
    await channels.audit();
    await settle();
    expect(stayed.got.slice(2)).toEqual(["2 other", "3 other", "4"]);
  });

  it("a live record that was held is not sent", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    const reader = subscribe(NOW);
    await settle();
    const letGo = log.hold("heads");
    void channels.open(NAME, SUBJECT).repair();
    await settle();
    log.store(SUBJECT, "2");
    log.letPass("heads");
    log.loseTail(2);
    log.tell("reconnected");
    letGo();
    await settle();
    log.store(SUBJECT, "other 2");
    await settle();
    expect(reader.got.slice(2)).toEqual(["other 2"]);
  });
});

describe("attacks invariants 1 and 2: the log loses its end, and no connection breaks", () => {
  it("who comes back to a place that is gone is told, though memory knew it", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    for (let i = 2; i <= 9; i++) log.store(OTHER, "x");
    const stayed = subscribe(NOW);
    await settle();
    log.loseTail(8);
    log.store(SUBJECT, "2");
    for (let i = 9; i <= 12; i++) log.store(OTHER, "y");
    await channels.audit();
    await settle();
    const late = subscribe({ kind: "after", eventId: stayed.ids[0] as string });
    await settle();
    log.store(SUBJECT, "3");
    await settle();
    expect(late.got).toEqual(["subscribed gap rewritten", "1", "2", "caught_up", "3"]);
    expect(stayed.got.slice(2)).toEqual(["2", "3"]);
  });

  it("also where what took its place is a channel's that nobody read", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    for (let i = 1; i <= 9; i++) log.store(OTHER, "x");
    const place = await log.stream.at(9);
    channels.open("team:other", OTHER);
    await settle();
    log.loseTail(8);
    log.store(SUBJECT, "2");
    for (let i = 9; i <= 12; i++) log.store(OTHER, "y");
    await channels.audit();
    await settle();
    const late = subscribe({ kind: "after", eventId: `a-9-${place?.check}` });
    await settle();
    expect(late.got).toEqual(["subscribed gap rewritten", "2", "caught_up"]);
  });

  it("is noticed where the log has come to the very same sequence again", async () => {
    const { log, channels, subscribe } = createDeliveryRig();
    log.store(OTHER, "x");
    log.store(OTHER, "x");
    const reader = subscribe(NOW);
    await settle();
    log.loseTail(1);
    log.store(SUBJECT, "1", { live: false });
    log.store(OTHER, "y");
    await channels.audit();
    await settle();
    expect(reader.events).toEqual(["1"]);
  });

  it("a look at the end of a log that only moved on doubts nothing", async () => {
    const { log, channels, delivery, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "1");
    subscribe(NOW);
    await settle();
    for (let i = 0; i < 3; i++) {
      log.store(OTHER, "x");
      await channels.audit();
    }
    log.trim(4);
    await channels.audit();
    await settle();
    expect(delivery.figures.repairs).toBe(0);
  });
});
