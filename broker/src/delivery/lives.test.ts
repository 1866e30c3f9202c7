import { describe, expect, it } from "vitest";
import { createDeliveryRig, NAME, OTHER, SUBJECT } from "../testing/delivery-rig.ts";
import { settle } from "../testing/memory-log.ts";

const NOW = { kind: "now" } as const;
const after = (record: { seq: number; check: string }) =>
  ({ kind: "after", eventId: `a-${record.seq}-${record.check}` }) as const;

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

  it("history that is gone with the stream was not trimmed", async () => {
    const { log, subscribe } = createDeliveryRig({ ringBytes: 0, pageCacheBytes: 0 });
    const anchor = log.store(OTHER, "0");
    log.store(SUBJECT, "1");
    subscribe(NOW);
    await settle();
    // The replica that is asked has nothing yet of what follows the anchor; before the leader says more, there is another stream.
    const { read, head } = log;
    log.read = async () => ({ records: [], pending: 0 });
    log.head = (subject) => {
      Object.assign(log, { read, head });
      log.recreate("b");
      log.store(SUBJECT, "b1", { live: false });
      return log.head(subject);
    };
    const reader = subscribe(after(anchor));
    await expect.poll(() => reader.got).toEqual(["subscribed complete", "subscribed gap reset", "b1", "caught_up"]);
  });

  it("is not waited for with what memory has of the old one", async () => {
    const { log, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "0");
    const reader = subscribe(NOW);
    await settle();
    reader.load = 2_000;
    log.store(SUBJECT, `1${"x".repeat(300_000)}`);
    await settle();
    log.store(SUBJECT, "2");
    const letGo = log.hold("heads");
    log.recreate("b");
    log.store(SUBJECT, "b1", { live: false });
    await log.state();
    reader.drain();
    await settle();
    expect(reader.got.slice(3)).toEqual([]);
    log.letPass("heads");
    letGo();
    await expect.poll(() => reader.got.slice(3)).toEqual(["subscribed gap reset", "b1", "caught_up"]);
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
