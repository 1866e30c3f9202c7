import { Channels } from "../delivery/channels.ts";
import type { StartRequest } from "../delivery/locate.ts";
import { type Reader, Subscription } from "../delivery/subscription.ts";
import { MemoryLog } from "./memory-log.ts";

export const NAME = "team:demo";
export const SUBJECT = "kata.team.demo";
export const OTHER = "kata.team.other";

/** What a reader was sent: an event by its payload, `subscribed` with its recovery, anything else by its type. */
export class TestReader implements Reader {
  readonly got: string[] = [];
  readonly ids: string[] = [];
  /** What the socket holds unsent; every frame adds `weight`. */
  load = 0;
  weight = 0;
  readonly #topics: Map<string, Set<TestReader>>;
  #drained: () => void = () => undefined;

  constructor(topics: Map<string, Set<TestReader>>) {
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

  buffered(): number {
    return this.load;
  }

  join(topic: string): void {
    this.#topics.set(topic, (this.#topics.get(topic) ?? new Set()).add(this));
  }

  leave(topic: string): void {
    this.#topics.get(topic)?.delete(this);
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
  readonly channels: Channels;
  readonly defects: unknown[];
  /** How many readers are in the live feed. */
  live(): number;
  subscribe(request: StartRequest): TestReader & { subscription: Subscription };
}

/** The real delivery over a log in memory and sockets that do what the test says. */
export function createDeliveryRig(options: { ringBytes?: number; pageRecords?: number } = {}): DeliveryRig {
  const log = new MemoryLog();
  const topics = new Map<string, Set<TestReader>>();
  const defects: unknown[] = [];
  const highWaterBytes = 1_000;
  const channels = new Channels({
    log,
    ringBytes: options.ringBytes ?? 1_000_000,
    page: { records: options.pageRecords ?? 2, bytes: 1_000_000 },
    highWaterBytes,
    lingerMs: 1_000_000,
    auditIntervalMs: 1_000_000,
    fanOut: (topic, frame) => {
      for (const reader of topics.get(topic) ?? []) reader.send(frame);
    },
    onInvalid: () => undefined,
    onDefect: (error) => defects.push(error),
  });
  return {
    log,
    channels,
    defects,
    live: () => [...topics.values()].reduce((sum, readers) => sum + readers.size, 0),
    subscribe(request) {
      const reader = new TestReader(topics);
      const subscription = new Subscription({
        channel: channels.open(NAME, SUBJECT),
        log,
        reader,
        ndjson: false,
        highWaterBytes,
        onDefect: (error) => defects.push(error),
      });
      reader.attach(subscription);
      subscription.start(request, undefined);
      return Object.assign(reader, { subscription });
    },
  };
}
