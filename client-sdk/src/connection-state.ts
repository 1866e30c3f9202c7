import { CLOSE, mayReconnect } from "@kata/protocol/wire";
import { type Backoff, backoffDelay } from "./backoff.ts";

/** What an application sees; see {@link ConnectionChange}. */
export type ConnectionStatus = "disconnected" | "connecting" | "connected" | "failed" | "closed";

/**
 * - `idle`: connect() was not called yet
 * - `fetching`: the credentials for one attempt are being fetched
 * - `opening`: a socket is being opened
 * - `greeting`: it is open and commands are sent, but a broker that refuses says so only now ([CONNECT-4])
 * - `connected`: the broker has answered
 * - `waiting`: for the next attempt
 * - `failed`: the broker refuses for good
 * - `closed`: close() was called
 */
export type ConnectionStep =
  | "idle"
  | "fetching"
  | "opening"
  | "greeting"
  | "connected"
  | "waiting"
  | "failed"
  | "closed";

export type ConnectionInput =
  /** connect() was called */
  | { readonly type: "connect" }
  /** the credentials are there */
  | { readonly type: "fetched" }
  /** the socket is open */
  | { readonly type: "opened" }
  /** the broker has said something that is no refusal */
  | { readonly type: "answered" }
  /** the credentials of this connection have lasted for a while */
  | { readonly type: "lasted" }
  /** [CLOSE-3] the broker asks to come back in a slot of our own */
  | { readonly type: "slot"; readonly afterMs: number }
  /** the socket is gone, or the credentials could not be fetched. `blame`: because of what this side did or could not read, so that a quick return would not help */
  | { readonly type: "lost"; readonly blame: boolean }
  /** the broker closed with a code that says: do not come back ([CLOSE-1]) */
  | { readonly type: "refused" }
  /** the wait is over */
  | { readonly type: "due" }
  /** close() was called */
  | { readonly type: "close" };

export interface ConnectionState {
  readonly step: ConnectionStep;
  /** Attempts in a row that came to nothing. */
  readonly failures: number;
  /** Of `waiting`: for how many milliseconds. */
  readonly delayMs: number;
  /** What `reconnect` asked for, if it did; milliseconds. */
  readonly slotMs: number | undefined;
}

export interface ConnectionPolicy {
  readonly backoff: Backoff;
  readonly random: () => number;
}

export const INITIAL_CONNECTION: ConnectionState = { step: "idle", failures: 0, delayMs: 0, slotMs: undefined };

type Row = Readonly<Record<ConnectionInput["type"], ConnectionStep>>;

const NEXT: Readonly<Record<ConnectionStep, Row>> = {
  idle: row("idle", { connect: "fetching", close: "closed" }),
  fetching: row("fetching", { fetched: "opening", lost: "waiting", close: "closed" }),
  opening: row("opening", { opened: "greeting", lost: "waiting", refused: "failed", close: "closed" }),
  greeting: row("greeting", { answered: "connected", lost: "waiting", refused: "failed", close: "closed" }),
  connected: row("connected", { lost: "waiting", refused: "failed", close: "closed" }),
  waiting: row("waiting", { due: "fetching", close: "closed" }),
  // The reason may be gone (a key restored, a right granted): the application may ask again, this SDK does not.
  failed: row("failed", { connect: "fetching", close: "closed" }),
  closed: row("closed", {}),
};

/** Every input that is not named leaves the step as it is. */
function row(stay: ConnectionStep, moves: Partial<Row>): Row {
  return {
    connect: stay,
    fetched: stay,
    opened: stay,
    answered: stay,
    lasted: stay,
    slot: stay,
    lost: stay,
    refused: stay,
    due: stay,
    close: stay,
    ...moves,
  };
}

/** What an application sees of a step. */
export const STATUS_OF: Readonly<Record<ConnectionStep, ConnectionStatus>> = {
  idle: "disconnected",
  fetching: "connecting",
  opening: "connecting",
  greeting: "connecting",
  connected: "connected",
  waiting: "connecting",
  failed: "failed",
  closed: "closed",
};

/** The state after an input; the same object if the input means nothing there. */
export function nextConnection(
  state: ConnectionState,
  input: ConnectionInput,
  policy: ConnectionPolicy,
): ConnectionState {
  if (input.type === "slot" && (state.step === "greeting" || state.step === "connected")) {
    return { ...state, slotMs: input.afterMs };
  }
  if (input.type === "lasted" && state.step === "connected" && state.failures > 0) return { ...state, failures: 0 };
  const step = NEXT[state.step][input.type];
  if (step === state.step) return state;
  if (input.type === "lost") return wait(state, input.blame, policy);
  const failures = input.type === "connect" ? 0 : state.failures;
  return { step, failures, delayMs: 0, slotMs: step === "connected" ? state.slotMs : undefined };
}

function wait(state: ConnectionState, blame: boolean, policy: ConnectionPolicy): ConnectionState {
  // Only a broker that has answered was worth coming to: one that accepts and drops is not hammered.
  const failures = state.step === "connected" && !blame ? 0 : state.failures;
  if (state.slotMs !== undefined) return { step: "waiting", failures, delayMs: state.slotMs, slotMs: undefined };
  const delayMs = backoffDelay(failures, policy.backoff, policy.random);
  return { step: "waiting", failures: failures + 1, delayMs, slotMs: undefined };
}

/**
 * What a close means: [CLOSE-1].
 *
 * @param renewable whether the next attempt may have other credentials; where it cannot, those that have expired are not
 *   offered on and on
 */
export function closeInput(closeCode: number, renewable: boolean): ConnectionInput {
  const expired = closeCode === CLOSE.tokenExpired;
  if (!mayReconnect(closeCode) || (expired && !renewable)) return { type: "refused" };
  // Credentials that end as soon as they are let in: a quick return would end the same way.
  return { type: "lost", blame: expired || closeCode === CLOSE.tooMuch };
}
