import { backoffDelay } from "./backoff.ts";
import type { ConnectionPolicy } from "./connection-state.ts";

/**
 * How an open connection comes to fresh credentials before its own expire: [AUTH-3].
 *
 * - `off`: there is no open connection
 * - `settling`: the credentials were presented a moment ago
 * - `resting`: they have lasted for a while; nothing to do
 * - `asking`: fresh ones are being fetched
 * - `offered`: `auth` is sent and not answered
 * - `pausing`: it did not help; asks again later
 */
export type RefreshStep = "off" | "settling" | "resting" | "asking" | "offered" | "pausing";

/**
 * - `open`: the connection is open, with credentials that were just fetched
 * - `warned`: the broker said `token_expiring`
 * - `token`, `failed`: how the fetching ended
 * - `accepted`, `refused`: how the broker answered `auth` ([AUTH-1], [AUTH-2])
 * - `due`: the wait of `settling` or `pausing` is over
 * - `end`: the connection is gone, and with it all that was asked and offered for it
 */
export type RefreshInput = "open" | "warned" | "token" | "failed" | "accepted" | "refused" | "due" | "end";

export interface RefreshState {
  readonly step: RefreshStep;
  /** Times in a row that it did not help. */
  readonly failures: number;
  /** Of `settling` and `pausing`: for how many milliseconds. */
  readonly delayMs: number;
}

type Row = Readonly<Record<RefreshInput, RefreshStep>>;

export const NEXT_REFRESH: Readonly<Record<RefreshStep, Row>> = {
  off: row("off", { open: "settling" }),
  // Warned at once: they are in their last minute already, and the next ones may be too, so this must not go at full speed.
  settling: row("settling", { warned: "pausing", due: "resting", end: "off" }),
  resting: row("resting", { warned: "asking", end: "off" }),
  asking: row("asking", { token: "offered", failed: "pausing", end: "off" }),
  // Warned once more: of the ones that were offered, so they were accepted, and the answer that says so means nothing more.
  offered: row("offered", { accepted: "settling", refused: "pausing", warned: "pausing", end: "off" }),
  pausing: row("pausing", { due: "asking", end: "off" }),
};

/** Every input that is not named leaves the step as it is. */
function row(stay: RefreshStep, moves: Partial<Row>): Row {
  return {
    open: stay,
    warned: stay,
    token: stay,
    failed: stay,
    accepted: stay,
    refused: stay,
    due: stay,
    end: stay,
    ...moves,
  };
}

export const NO_REFRESH: RefreshState = { step: "off", failures: 0, delayMs: 0 };

/** The state after an input; the same object if the input means nothing there. */
export function nextRefresh(state: RefreshState, input: RefreshInput, policy: ConnectionPolicy): RefreshState {
  const step = NEXT_REFRESH[state.step][input];
  if (step === state.step) return state;
  const { failures } = state;
  switch (step) {
    case "off":
    case "resting":
      return { step, failures: 0, delayMs: 0 };
    case "settling":
      return { step, failures, delayMs: policy.backoff.maxMs };
    case "pausing":
      return { step, failures: failures + 1, delayMs: backoffDelay(failures, policy.backoff, policy.random) };
    case "asking":
    case "offered":
      return { step, failures, delayMs: 0 };
  }
}
