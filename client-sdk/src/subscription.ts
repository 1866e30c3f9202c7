import type { ErrorPayload, GapReason, KataEvent, Rewind } from "@kata/protocol/wire";
import { NOWHERE, type Position, positionAt } from "./position.ts";

/**
 * - `subscribing`: wanted; not connected yet, or not answered yet
 * - `subscribed`: events arrive, replay first
 * - `caught_up`: replay has ended, events are live
 * - `failed`: refused for good; subscribe again if the reason is gone
 * - `unsubscribed`: over
 */
export type SubscriptionStatus = "subscribing" | "subscribed" | "caught_up" | "failed" | "unsubscribed";

/**
 * Why a subscription changed.
 * - `subscribe`, `unsubscribe`, `close`: the application called it
 * - `subscribed`, `caught_up`: said by the broker
 * - `relocated`: the log lost the place where the subscription stood ([RESUME-6]); a gap comes with it
 * - `disconnected`: the connection is gone; the subscription comes back with the next one
 * - `retry`: refused for now, asked again in `retryInMs`
 * - `refused`: refused for good, see `error`
 * - `ended`: the broker ended it without being asked; asked again in `retryInMs`
 */
export type SubscriptionCode =
  | "subscribe"
  | "unsubscribe"
  | "close"
  | "subscribed"
  | "caught_up"
  | "relocated"
  | "disconnected"
  | "retry"
  | "refused"
  | "ended";

/** History of a channel that was asked for and no longer exists: [RESUME-3]. */
export interface Gap {
  readonly channel: string;
  /** [RESUME-4]; a newer broker may know more. */
  readonly reason: GapReason | (string & {});
  /** The position that could not be resumed from; events may be missing after it, and may be repeated before it. */
  readonly from: string | undefined;
  /** The position that the next event follows. */
  readonly to: string;
}

/** One step of a subscription. */
export interface SubscriptionChange {
  readonly channel: string;
  readonly status: SubscriptionStatus;
  readonly previous: SubscriptionStatus;
  readonly code: SubscriptionCode;
  /** For people. */
  readonly reason: string;
  /** Where the channel stands: what to give as `lastEventId` later. */
  readonly position: string | undefined;
  /** With `subscribed`: how the start was found ([SUBSCRIBE-1]). */
  readonly recovery?: "fresh" | "complete" | "gap";
  /** With `recovery: "gap"`. Told before the next event is handed over. */
  readonly gap?: Gap;
  /** What the broker said. */
  readonly error?: ErrorPayload;
  /** How long until it is asked again, in milliseconds. */
  readonly retryInMs?: number;
}

/** Is handed each event of a channel, once and in order. A promise is not awaited; its rejection is reported. */
export type EventHandler = (event: KataEvent) => void | Promise<void>;

export interface SubscribeOptions {
  /** Start after this event (a position of an earlier run). Not together with `rewind`. */
  readonly lastEventId?: string | undefined;
  /** [SUBSCRIBE-5] Start in the past: `{count}`, `{seconds}` or `"all"`. Counts until the broker has answered once. */
  readonly rewind?: Rewind | undefined;
  /** Told every later change of this channel's subscription. */
  readonly onStatus?: ((change: SubscriptionChange) => void) | undefined;
}

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
