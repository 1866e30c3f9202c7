import type { AnyEvents, EventMap, KataEvent, Rewind } from "@kata/protocol/wire";
import { NOWHERE, type Position, positionAt } from "./position.ts";
import type { SubscriptionChange, SubscriptionStatus } from "./subscription-change.ts";

/** Is handed each event of a channel, once and in order. A promise is not awaited; its rejection is reported. */
export type EventHandler<E extends EventMap = AnyEvents> = (event: KataEvent<E>) => void | Promise<void>;

export interface SubscribeOptions {
  /** Start after this event (a position of an earlier run). Not together with `rewind`. */
  readonly lastEventId?: string | undefined;
  /** [SUBSCRIBE-5] Start in the past: `{count}`, `{seconds}` or `"all"`. Counts until the broker has answered once. */
  readonly rewind?: Rewind | undefined;
  /** Told every later change of this channel's subscription. */
  readonly onStatus?: ((change: SubscriptionChange) => void) | undefined;
}

/** A change without what the subscription knows itself. */
export type Why = Omit<SubscriptionChange, "channel" | "status" | "previous" | "position">;

/** One handler and its status listener. */
export interface Registration {
  readonly handler: EventHandler;
  readonly onStatus: ((change: SubscriptionChange) => void) | undefined;
  /** False once the application has taken it back: it is never called again. */
  active: boolean;
}

/** What the application wants of one channel: from its first handler until the last one leaves. */
export class Subscription {
  readonly channel: string;
  readonly rewind: Rewind | undefined;
  status: SubscriptionStatus = "unsubscribed";
  position: Position;
  /** Replaced, never changed: whoever iterates over it is not disturbed. */
  registrations: readonly Registration[] = [];

  constructor(channel: string, options: SubscribeOptions) {
    this.channel = channel;
    this.rewind = options.rewind;
    this.position = options.lastEventId === undefined ? NOWHERE : positionAt(options.lastEventId);
  }

  /** Makes the change and returns how it is told. */
  become(status: SubscriptionStatus, why: Why): SubscriptionChange {
    const previous = this.status;
    this.status = status;
    return { channel: this.channel, status, previous, ...why, position: this.position.resume };
  }

  /** Whether it is still to be had: neither refused nor over. */
  get wanted(): boolean {
    return this.status !== "failed" && this.status !== "unsubscribed";
  }

  find(handler: EventHandler): Registration | undefined {
    return this.registrations.find((registration) => registration.handler === handler);
  }

  add(registration: Registration): void {
    this.registrations = [...this.registrations, registration];
  }

  /** Takes one back, or all. */
  remove(registration?: Registration): void {
    for (const one of this.registrations) {
      if (registration === undefined || one === registration) one.active = false;
    }
    this.registrations = this.registrations.filter((one) => one.active);
  }
}
