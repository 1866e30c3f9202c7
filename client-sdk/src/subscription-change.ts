import type { ErrorPayload, GapReason } from "@kata/protocol/wire";

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
