/**
 * What one connection and the broker have agreed about one channel. A channel that was left is asked for again only once
 * the broker has confirmed the leaving, so every event belongs to one subscription only, however fast an application
 * leaves and comes back.
 *
 * - `idle`: the broker holds nothing for us
 * - `subscribing`: asked for; what arrives before `subscribed` is not ours ([SUBSCRIBE-1])
 * - `replaying`: subscribed, not caught up
 * - `live`: caught up
 * - `leaving`: unsubscribe is sent; what arrives before `unsubscribed` is not wanted any more ([UNSUBSCRIBE-1])
 * - `pausing`: refused for now; asks again later
 */
export type LinkStep = "idle" | "subscribing" | "replaying" | "live" | "leaving" | "pausing";

/**
 * - `ask`: subscribe was sent
 * - `leave`: the application has left
 * - `subscribed`, `caught_up`, `unsubscribed`: said by the broker (replies: with our command's id)
 * - `retryable`, `refused`: the broker said `error`, which may pass or not ([ERROR-2]): to our command, or, without being
 *   asked, because it could not go on
 * - `due`: the pause is over
 * - `offline`: the connection is gone, and with it all that was agreed
 */
export type LinkInput =
  | "ask"
  | "leave"
  | "subscribed"
  | "caught_up"
  | "unsubscribed"
  | "retryable"
  | "refused"
  | "due"
  | "offline";

type Row = Readonly<Record<LinkInput, LinkStep>>;

export const NEXT_LINK: Readonly<Record<LinkStep, Row>> = {
  idle: row("idle", { ask: "subscribing" }),
  subscribing: row("subscribing", {
    leave: "leaving",
    subscribed: "replaying",
    retryable: "pausing",
    refused: "idle",
    offline: "idle",
  }),
  // [RESUME-6] `subscribed` may come again; `unsubscribed` was not asked for, so we come back, but not at once.
  replaying: row("replaying", {
    leave: "leaving",
    caught_up: "live",
    unsubscribed: "pausing",
    retryable: "pausing",
    refused: "idle",
    offline: "idle",
  }),
  live: row("live", {
    leave: "leaving",
    subscribed: "replaying",
    unsubscribed: "pausing",
    retryable: "pausing",
    refused: "idle",
    offline: "idle",
  }),
  // [UNSUBSCRIBE-2] `not_subscribed` is a refusal that says what we wanted to hear.
  leaving: row("leaving", { unsubscribed: "idle", retryable: "idle", refused: "idle", offline: "idle" }),
  pausing: row("pausing", { leave: "idle", due: "idle", offline: "idle" }),
};

/** Every input that is not named leaves the step as it is. */
function row(stay: LinkStep, moves: Partial<Row>): Row {
  return {
    ask: stay,
    leave: stay,
    subscribed: stay,
    caught_up: stay,
    unsubscribed: stay,
    retryable: stay,
    refused: stay,
    due: stay,
    offline: stay,
    ...moves,
  };
}
