import type { Channels } from "../delivery/channels.ts";
import type { Clock } from "../delivery/clock.ts";
import { Delivery, type DeliveryLimits } from "../delivery/delivery.ts";
import { SINGLE } from "../delivery/framing.ts";
import type { StartWish } from "../delivery/locate.ts";
import type { Reader, Subscription } from "../delivery/subscription.ts";
import { MemoryLog } from "./memory-log.ts";

export const NAME = "team:demo";
export const SUBJECT = "kata.team.demo";
export const OTHER = "kata.team.other";

/** Who is in the live feed, by topic. */
export class Topics {
  readonly #members = new Map<string, Set<Reader>>();

  get members(): number {
    return [...this.#members.values()].reduce((sum, readers) => sum + readers.size, 0);
  }

  join(topic: string, reader: Reader): void {
    this.#members.set(topic, (this.#members.get(topic) ?? new Set()).add(reader));
  }

  leave(topic: string, reader: Reader): void {
    this.#members.get(topic)?.delete(reader);
  }

  /** The reader is gone. */
  forget(reader: Reader): void {
    for (const readers of this.#members.values()) readers.delete(reader);
  }

  send(topic: string, frame: Buffer): void {
    for (const reader of this.#members.get(topic) ?? []) reader.send(frame);
  }
}

/** What a reader was sent: an event by its payload, `subscribed` with its recovery, anything else by its type. */
export class TestReader implements Reader {
  readonly got: string[] = [];
  readonly ids: string[] = [];
  /** What the socket holds unsent; every frame adds `weight`. */
  load = 0;
  weight = 0;
  readonly #topics: Topics;
  #drained: () => void = () => undefined;

  constructor(topics: Topics) {
    this.#topics = topics;
  }

  /** The events alone. */
  get events(): string[] {
    return this.got.filter((each) => /^\d/.test(each));
  }

  send(frame: Buffer): void {
    const message = JSON.parse(frame.toString("utf8")) as { type: string; payload: unknown; eventId: string };
    const { recovery, reason } = message.payload as { recovery?: string; reason?: string };
    if (message.type === "own") this.got.push(message.payload as string);
    else this.got.push([message.type, recovery, reason].filter((each) => each !== undefined).join(" "));
    this.ids.push(message.eventId);
    this.load += this.weight;
  }

  batch(work: () => void): void {
    work();
  }

  buffered(): number {
    return this.load;
  }

  join(topic: string): void {
    this.#topics.join(topic, this);
  }

  leave(topic: string): void {
    this.#topics.leave(topic, this);
  }

  attach(subscription: Subscription): void {
    this.#drained = () => subscription.drained();
  }

  /** The socket takes all that it holds. */
  drain(): void {
    this.load = 0;
    this.#drained();
  }
}

export interface DeliveryRig {
  readonly log: MemoryLog;
  readonly delivery: Delivery;
  readonly channels: Channels;
  readonly topics: Topics;
  readonly defects: unknown[];
  /** How many readers are in the live feed. */
  live(): number;
  subscribe(request: StartWish): TestReader & { subscription: Subscription };
}

export interface DeliveryRigOptions extends Partial<DeliveryLimits> {
  readonly clock?: Clock;
  /** Default: one of its own, in which everything comes by itself. */
  readonly log?: MemoryLog;
}

/** Nothing happens by itself for as long as a test lasts. */
const NEVER_MS = 1_000_000;

/** The real delivery over a log in memory and sockets that do what the test says. */
export function createDeliveryRig({ clock, log = new MemoryLog(), ...limits }: DeliveryRigOptions = {}): DeliveryRig {
  const topics = new Topics();
  const defects: unknown[] = [];
  const delivery = new Delivery({
    log,
    limits: {
      ringBytes: 1_000_000,
      ringTotalBytes: 10_000_000,
      heldBytes: 1_000_000,
      pageRecords: 2,
      pageBytes: 1_000_000,
      pageCacheBytes: 1_000_000,
      readsInFlight: 16,
      highWaterBytes: 1_000,
      lingerMs: NEVER_MS,
      auditIntervalMs: NEVER_MS,
      ...limits,
    },
    fanOut: (topic, frame) => topics.send(topic, frame),
    onInvalid: () => undefined,
    onDefect: (error) => defects.push(error),
    ...(clock === undefined ? {} : { clock }),
  });
  return {
    log,
    delivery,
    channels: delivery.channels,
    topics,
    defects,
    live: () => topics.members,
    subscribe(request) {
      const reader = new TestReader(topics);
      const subscription = delivery.subscribe({
        channel: NAME,
        subject: SUBJECT,
        reader,
        framing: SINGLE,
        onDefect: (error) => defects.push(error),
      });
      reader.attach(subscription);
      subscription.start(request, undefined);
      return Object.assign(reader, { subscription });
    },
  };
}
