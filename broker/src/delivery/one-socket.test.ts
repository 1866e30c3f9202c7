import { describe, expect, it } from "vitest";
import { createDeliveryRig, type Topics } from "../testing/delivery-rig.ts";
import { settle } from "../testing/memory-log.ts";
import type { Delivery } from "./delivery.ts";
import { SINGLE } from "./framing.ts";
import type { StartWish } from "./locate.ts";
import type { Reader, Subscription } from "./subscription.ts";

const MARK = 64 * 1024;
const BUSY = ["agent:a", "kata.team.demo.agent.a"] as const;
const OLD = ["agent:b", "kata.team.demo.agent.b"] as const;
/** Three of them in the first record. */
const EVENTS = 20;

/** A socket with several subscriptions, which go on in turns as a session has them. */
class Socket implements Reader {
  readonly sent: { channel: string; type: string }[] = [];
  held = 0;
  largest = 0;
  readonly #topics: Topics;
  readonly #subscriptions: Subscription[] = [];
  #turn = 0;

  constructor(topics: Topics) {
    this.#topics = topics;
  }

  subscribe(delivery: Delivery, [channel, subject]: readonly [string, string], start: StartWish): void {
    const fail = (error: unknown) => {
      throw error;
    };
    const subscription = delivery.subscribe({ channel, subject, reader: this, framing: SINGLE, onDefect: fail });
    this.#subscriptions.push(subscription);
    subscription.start(start, undefined);
  }

  send(frame: Buffer): void {
    this.sent.push(JSON.parse(frame.toString("utf8")));
    this.held += frame.length;
    this.largest = Math.max(this.largest, this.held);
  }

  batch(work: () => void): void {
    work();
  }

  buffered(): number {
    return this.held;
  }

  join(topic: string): void {
    this.#topics.join(topic, this);
  }

  leave(topic: string): void {
    this.#topics.leave(topic, this);
  }

  take(bytes: number): void {
    this.held = Math.max(0, this.held - bytes);
    const first = this.#turn++ % this.#subscriptions.length;
    for (const each of [...this.#subscriptions.slice(first), ...this.#subscriptions.slice(0, first)]) each.drained();
  }

  eventsOf(channel: string): number {
    return this.sent.filter((each) => each.channel === channel && each.type === "own").length;
  }
}

describe("attacks invariant 4: one slow socket, a channel that always has more in memory, and one that has to ask the log", () => {
  it.each([
    ["from its front", undefined, 1_000_000],
    ["with no page kept", undefined, 0],
    ["from the middle of a record", 0, 1_000_000],
  ])("both go on (%s)", async (_what, after, pageCacheBytes) => {
    const { log, delivery, topics } = createDeliveryRig({
      highWaterBytes: MARK,
      ringBytes: 4_000_000,
      ringTotalBytes: 20_000_000,
      pageRecords: 100,
      pageCacheBytes,
    });
    const line = (payload: string) => JSON.stringify({ type: "own", timestamp: "t", encoding: "json", payload });
    const first = log.store(OLD[1], "", { text: ["0", "1", "2"].map(line).join("\n") });
    for (let i = 3; i < EVENTS; i++) log.store(OLD[1], `${i}`);
    const socket = new Socket(topics);
    socket.subscribe(delivery, BUSY, { kind: "now" });
    await settle();
    const text = "x".repeat(30_000);
    for (let i = 0; i < 70; i++) log.store(BUSY[1], text);
    await settle();
    const eventId = `a-${first.seq}-${first.check}`;
    socket.subscribe(
      delivery,
      OLD,
      after === undefined ? { kind: "rewind", rewind: "all" } : { kind: "after", eventId },
    );
    const due = after === undefined ? EVENTS : EVENTS - 1;
    socket.largest = 0;
    socket.held = MARK;
    let busy = 0;
    for (let turn = 0; turn < 500 && socket.eventsOf(OLD[0]) < due; turn++) {
      // As much comes as the socket takes.
      log.store(BUSY[1], text);
      await settle(1);
      socket.take(30_000);
      await settle(6);
      busy = socket.eventsOf(BUSY[0]);
    }
    expect(socket.eventsOf(OLD[0])).toBe(due);
    expect(busy).toBeGreaterThanOrEqual(5);
    // The mark, and one record of each.
    expect(socket.largest).toBeLessThan(MARK + 2 * 31_000);
  });
});
