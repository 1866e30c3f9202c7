/**
 * What one connection and the broker have agreed about one channel. At most one command per channel is under way, so a
 * reply, and every event, can belong to one subscription only, however fast an application leaves and comes back.
 *
 * - `idle`: the broker holds nothing for us
 * - `subscribing`: asked for; what arrives before `subscribed` is not ours ([SUBSCRIBE-1])
 * - `abandoned`: asked for, but the application has left meanwhile; waits for the answer in order to leave
 * - `replaying`: subscribed, not caught up
 * - `live`: caught up
 * - `leaving`: unsubscribe is sent; what arrives before `unsubscribed` is not wanted any more ([UNSUBSCRIBE-1])
 * - `pausing`: refused for now; asks again later
 */
export type LinkStep = "idle" | "subscribing" | "abandoned" | "replaying" | "live" | "leaving" | "pausing";

/**
 * - `ask`: subscribe was sent
 * - `leave`: the application has left
 * - `subscribed`, `caught_up`, `unsubscribed`: said by the broker (replies: with our command's id)
 * - `retryable`, `refused`: our command was answered with `error`, which may pass or not ([ERROR-2])
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
    leave: "abandoned",
    subscribed: "replaying",
    retryable: "pausing",
    refused: "idle",
    offline: "idle",
  }),
  abandoned: row("abandoned", { subscribed: "leaving", retryable: "idle", refused: "idle", offline: "idle" }),
  // [RESUME-6] `subscribed` may come again; `unsubscribed` was not asked for, so we come back, but not at once.
  replaying: row("replaying", { leave: "leaving", caught_up: "live", unsubscribed: "pausing", offline: "idle" }),
  live: row("live", { leave: "leaving", subscribed: "replaying", unsubscribed: "pausing", offline: "idle" }),
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
