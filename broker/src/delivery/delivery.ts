import type { EventLog } from "../log/event-log.ts";
import { createSharedLog, type SharedLog } from "../log/shared-log.ts";
import type { Channel } from "./channel.ts";
import type { ChannelRecord } from "./channel-record.ts";
import { Channels } from "./channels.ts";
import { type Clock, SYSTEM_CLOCK } from "./clock.ts";
import { createFigures, type DeliveryFigures } from "./figures.ts";
import { HoldingBudget } from "./held-records.ts";
import { type History, type HistoryRequest, readHistory } from "./history.ts";
import { PageCache } from "./page-cache.ts";
import { RingMemory } from "./ring-memory.ts";
import { SocketTurns } from "./socket-turns.ts";
import { Subscription, type SubscriptionOptions } from "./subscription.ts";
import type { Phase } from "./subscription-state.ts";
import { Sweep } from "./sweep.ts";

/** What delivery may take, and how often it looks. All of it holds whatever readers and publishers do. */
export interface DeliveryLimits {
  /** Recent records of one channel, and of all together, bytes. */
  readonly ringBytes: number;
  readonly ringTotalBytes: number;
  /** Live records that channels hold while they are busy with the log, all together, bytes. */
  readonly heldBytes: number;
  /** One read from the log ends at so many records or bytes; a record may go over. */
  readonly pageRecords: number;
  readonly pageBytes: number;
  /** Pages of history remembered for readers that come behind, all together, bytes. */
  readonly pageCacheBytes: number;
  /** Answers with records that may be on their way from the log at a time. */
  readonly readsInFlight: number;
  /** Unsent bytes of a socket at which its replay rests, and at which a live reader leaves the live feed. */
  readonly highWaterBytes: number;
  /** How long a channel without readers stays open, milliseconds. */
  readonly lingerMs: number;
  /** Between two comparisons of the open channels with the log, milliseconds. */
  readonly auditIntervalMs: number;
}

export interface DeliveryOptions {
  readonly log: EventLog;
  readonly limits: DeliveryLimits;
  /** Sends a frame to every socket that joined the topic. */
  readonly fanOut: (topic: string, frame: Buffer) => void;
  /** Told of a record with lines that are no events. */
  readonly onInvalid: (channel: string, record: ChannelRecord) => void;
  /** Told of an error that is no outage: a defect. What met it is tried again. */
  readonly onDefect: (error: unknown) => void;
  readonly clock?: Clock;
}

/** What is in use of the limits. */
export interface DeliveryUsage {
  readonly channels: number;
  readonly subscriptions: Readonly<Record<Phase, number>>;
  /** Of the ring that holds the most, and of all. */
  readonly largestRingBytes: number;
  readonly ringBytes: number;
  readonly heldBytes: number;
  readonly pageCacheBytes: number;
  readonly readsInFlight: number;
  readonly readsWaiting: number;
}

/** A reader's wish for one channel. */
export type SubscribeRequest = Pick<SubscriptionOptions, "reader" | "framing" | "onDefect"> & {
  readonly channel: string;
  readonly subject: string;
};

/** From the log to readers: opens channels, gives subscriptions and history. */
export class Delivery {
  readonly channels: Channels;
  readonly figures: DeliveryFigures = createFigures();
  readonly #log: SharedLog;
  readonly #limits: DeliveryLimits;
  readonly #clock: Clock;
  readonly #rings: RingMemory;
  readonly #pages: PageCache;
  readonly #holding: HoldingBudget;
  readonly #turns = new SocketTurns();
  readonly #subscriptions = new Set<Subscription>();

  constructor({ limits, clock = SYSTEM_CLOCK, ...options }: DeliveryOptions) {
    this.#limits = limits;
    this.#clock = clock;
    this.#log = createSharedLog(options.log, limits);
    this.#rings = new RingMemory(limits.ringTotalBytes);
    this.#pages = new PageCache(limits.pageCacheBytes);
    this.#holding = new HoldingBudget(limits.heldBytes);
    this.channels = new Channels({
      ...options,
      log: this.#log,
      clock,
      figures: this.figures,
      ringBytes: limits.ringBytes,
      ringMemory: this.#rings,
      page: { records: limits.pageRecords, bytes: limits.pageBytes },
      pageCache: this.#pages,
      holding: this.#holding,
      sweep: new Sweep(),
      highWaterBytes: limits.highWaterBytes,
      lingerMs: limits.lingerMs,
      auditIntervalMs: limits.auditIntervalMs,
    });
  }

  get usage(): DeliveryUsage {
    return {
      channels: this.channels.size,
      subscriptions: this.#phases(),
      largestRingBytes: this.#rings.largestBytes,
      ringBytes: this.#rings.bytes,
      heldBytes: this.#holding.bytes,
      pageCacheBytes: this.#pages.bytes,
      readsInFlight: this.#log.reads.inFlight,
      readsWaiting: this.#log.reads.waiting,
    };
  }

  /** A subscription that has to be started, and to be ended with {@link end}. */
  subscribe({ channel, subject, ...request }: SubscribeRequest): Subscription {
    const subscription = new Subscription({
      ...request,
      channel: this.channels.open(channel, subject),
      log: this.#log,
      clock: this.#clock,
      figures: this.figures,
      highWaterBytes: this.#limits.highWaterBytes,
      turns: this.#turns,
    });
    this.#subscriptions.add(subscription);
    return subscription;
  }

  /** Ends a subscription; returns the last position that was sent. */
  end(subscription: Subscription): string | undefined {
    this.#subscriptions.delete(subscription);
    const eventId = subscription.close();
    this.channels.release(subscription.channel);
    return eventId;
  }

  /** @throws LogUnavailableError while the log cannot answer */
  async history(name: string, subject: string, request: HistoryRequest): Promise<History> {
    const channel: Channel = this.channels.open(name, subject);
    // It reads no further once it has looked, so it need not be told that its place may be gone.
    const reader = { relocate: () => undefined, endLost: () => undefined };
    channel.enter(reader);
    // Who has left does not wait until the channel is settled.
    const leave = () => channel.leave(reader);
    request.signal.addEventListener("abort", leave, { once: true });
    try {
      const history = await readHistory(this.#log, channel, reader, request);
      if (history.reason !== undefined) this.figures.gaps[history.reason]++;
      return history;
    } finally {
      request.signal.removeEventListener("abort", leave);
      leave();
      this.channels.release(channel);
    }
  }

  close(): void {
    this.channels.close();
  }

  #phases(): Record<Phase, number> {
    const count = { locating: 0, "catching up": 0, paused: 0, live: 0, closed: 0 };
    for (const { phase } of this.#subscriptions) count[phase]++;
    return count;
  }
}
