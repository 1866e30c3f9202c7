import { describe, expect, it } from "vitest";
import { createDeliveryRig, NAME, SUBJECT, type Topics } from "../testing/delivery-rig.ts";
import { settle } from "../testing/memory-log.ts";
import type { Delivery } from "./delivery.ts";
import { SINGLE } from "./framing.ts";
import type { StartWish } from "./locate.ts";
import type { Reader, Subscription } from "./subscription.ts";

const NOW = { kind: "now" } as const;
const ALL = { kind: "rewind", rewind: "all" } as const;
const MARK = 64 * 1024;
const SWEEP = 256 * 1024;

/** A socket that counts bytes, and takes as many as it is told to. */
class CountingSocket implements Reader {
  readonly subscriptions: Subscription[] = [];
  readonly sent: string[] = [];
  most = 0;
  #held = 0;
  readonly #topics: Topics;

  constructor(topics: Topics) {
    this.#topics = topics;
  }

  subscribe(delivery: Delivery, channel: string, subject: string, start: StartWish): void {
    const onDefect = (error: unknown) => expect.unreachable(String(error));
    const subscription = delivery.subscribe({ channel, subject, reader: this, framing: SINGLE, onDefect });
    this.subscriptions.push(subscription);
    subscription.start(start, undefined);
  }

  send(frame: Buffer): void {
    this.sent.push(/"payload":"(\d+)/.exec(frame.toString("utf8"))?.[1] ?? "");
    this.#held += frame.length;
    this.most = Math.max(this.most, this.#held);
  }

  batch(work: () => void): void {
    work();
  }

  buffered(): number {
    return this.#held;
  }

  join(topic: string): void {
    this.#topics.join(topic, this);
  }

  leave(topic: string): void {
    this.#topics.leave(topic, this);
  }

  take(bytes: number): void {
    this.#held = Math.max(0, this.#held - bytes);
    for (const subscription of this.subscriptions) subscription.drained();
  }
}

const name = (i: number) => `agent:${i}`;
const subject = (i: number) => `kata.team.demo.agent.${i}`;
const text = (i: number, bytes: number) => `${i} ${"x".repeat(bytes)}`;

describe("attacks invariant 4: what a socket that takes nothing holds", () => {
  it("does not grow with the channels that it reads live", async () => {
    const { log, delivery, topics } = createDeliveryRig({ highWaterBytes: MARK, ringTotalBytes: 20_000_000 });
    const socket = new CountingSocket(topics);
    for (let i = 0; i < 20; i++) socket.subscribe(delivery, name(i), subject(i), NOW);
    await settle();
    for (let i = 0; i < 20; i++) {
      for (let j = 0; j < 10; j++) log.store(subject(i), text(i * 10 + j, 30_000));
      await settle(5);
    }
    expect(socket.most).toBeLessThan(MARK + SWEEP + 40_000);
    for (let i = 0; i < 200; i++) {
      socket.take(MARK);
      await settle(5);
    }
    expect(socket.sent.filter((each) => each !== "").map(Number)).toHaveLength(200);
    expect(delivery.usage.subscriptions.live).toBe(20);
  });

  it("nor with the channels whose history it has asked for", async () => {
    const { log, delivery, topics } = createDeliveryRig({ highWaterBytes: MARK, ringBytes: 0 });
    for (let i = 0; i < 50; i++) log.store(subject(i), text(i, 50_000));
    const socket = new CountingSocket(topics);
    for (let i = 0; i < 50; i++) socket.subscribe(delivery, name(i), subject(i), ALL);
    await settle();
    expect(socket.most).toBeLessThan(MARK + 60_000);
    for (let i = 0; i < 100; i++) {
      socket.take(MARK);
      await settle(10);
    }
    expect(
      socket.sent
        .filter((each) => each !== "")
        .map(Number)
        .sort((a, b) => a - b),
    ).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  it("nor with records in whose middle it comes back", async () => {
    const { log, delivery, topics } = createDeliveryRig({ highWaterBytes: MARK, ringBytes: 0 });
    const line = (payload: string) => JSON.stringify({ type: "own", timestamp: "t", encoding: "json", payload });
    const socket = new CountingSocket(topics);
    const records = Array.from({ length: 50 }, (_, i) =>
      log.store(subject(i), "", { text: [line("first"), line(text(i, 50_000))].join("\n") }),
    );
    for (const [i, { seq, check }] of records.entries()) {
      socket.subscribe(delivery, name(i), subject(i), { kind: "after", eventId: `a-${seq}-${check}` });
    }
    await settle();
    expect(socket.most).toBeLessThan(MARK + 60_000 + 50 * 300);
    for (let i = 0; i < 100; i++) {
      socket.take(MARK);
      await settle(20);
    }
    expect(socket.sent.filter((each) => each !== "")).toHaveLength(50);
  });
});

describe("attacks invariant 4: a reader that takes little at a time", () => {
  it("has the log read for it about twice at most", async () => {
    const { log, delivery, topics } = createDeliveryRig({
      highWaterBytes: MARK,
      ringBytes: 0,
      pageCacheBytes: 0,
      pageRecords: 100,
      pageBytes: MARK,
    });
    let bytes = 0;
    const read = log.read.bind(log);
    log.read = async (request) => {
      const page = await read(request);
      for (const { data } of page.records) bytes += data.length;
      return page;
    };
    for (let i = 0; i < 400; i++) log.store(SUBJECT, text(i, 2_000));
    const socket = new CountingSocket(topics);
    socket.subscribe(delivery, NAME, SUBJECT, ALL);
    await settle();
    while (socket.sent.at(-1) !== "399" && delivery.usage.subscriptions.live === 0) {
      socket.take(4_000);
      await settle(10);
    }
    expect(socket.sent.filter((each) => each !== "").map(Number)).toEqual(Array.from({ length: 400 }, (_, i) => i));
    expect(bytes).toBeLessThan(3.2 * 400 * 2_200);
  });
});

describe("attacks invariant 4: what is held while a channel repairs itself", () => {
  it("is counted for what it keeps, not a window into what came with it", async () => {
    const { log, channels, delivery, subscribe } = createDeliveryRig();
    log.store(SUBJECT, "0");
    const reader = subscribe(NOW);
    await settle();
    // Answered as of now: what is stored then is known from the live feed alone.
    const letGo = log.hold("heads");
    void channels.open(NAME, SUBJECT).repair();
    await settle();
    const record = log.store(SUBJECT, "1", { live: false });
    const chunk = new Uint8Array(1_000_000);
    chunk.set(record.data, 5_000);
    log.republish({ ...record, data: chunk.subarray(5_000, 5_000 + record.data.length) });
    expect(delivery.usage.heldBytes).toBeLessThan(1_000);
    // What arrives after it in the same buffer must not change it.
    chunk.fill(0);
    log.letPass("heads");
    letGo();
    await settle();
    expect(reader.events).toEqual(["1"]);
  });
});
