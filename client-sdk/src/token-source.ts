import type { Cancel, Clock } from "./clock.ts";
import { isCredential } from "./options.ts";
import { isPromise } from "./promise.ts";

/** Why there is no token. */
export interface TokenFailure {
  /** For people; nothing of what was thrown or returned is in it. */
  readonly reason: string;
  /** What `getToken` threw. */
  readonly cause?: unknown;
}

export type TokenOutcome =
  | { readonly token: string; readonly failure?: undefined }
  | { readonly token?: undefined; readonly failure: TokenFailure };

export interface TokenSourcePorts {
  readonly clock: Clock;
  /** Everything that comes from outside runs inside. */
  batch<T>(work: () => T): T;
  /** Runs what is the application's: in its turn, outside of `batch`. */
  tell(task: () => void): void;
}

/**
 * Asks the application for tokens, one call at a time. Whoever asks while a call is under way gets its result, so what was
 * asked for a connection that is gone serves the next attempt. A result that nobody waits for is not kept: it may be old
 * when it is wanted.
 */
export class TokenSource {
  readonly #getToken: () => unknown;
  readonly #timeoutMs: number;
  readonly #ports: TokenSourcePorts;
  /** The call under way. Only the newest counts: one that was given up on may still return. */
  #call: symbol | undefined;
  #asker: ((outcome: TokenOutcome) => void) | undefined;
  #timer: Cancel = () => {};

  constructor(getToken: () => unknown, timeoutMs: number, ports: TokenSourcePorts) {
    this.#getToken = getToken;
    this.#timeoutMs = timeoutMs;
    this.#ports = ports;
  }

  /** Calls `asker` once, unless `leave()` comes first; never from inside. */
  ask(asker: (outcome: TokenOutcome) => void): void {
    this.leave();
    this.#asker = asker;
    this.#timer = this.#ports.clock.after(this.#timeoutMs, () => {
      this.#settle(this.#call, { failure: { reason: `getToken took longer than ${this.#timeoutMs} ms` } });
    });
    if (this.#call === undefined) this.#begin();
  }

  /** Whoever asked waits no more. The call itself cannot be taken back. */
  leave(): void {
    this.#timer();
    this.#asker = undefined;
  }

  #begin(): void {
    const call = Symbol();
    this.#call = call;
    this.#ports.tell(() => {
      if (this.#call !== call) return;
      // Somebody who was told before has ended it: nothing is asked for nobody.
      if (this.#asker === undefined) this.#call = undefined;
      else this.#run(call);
    });
  }

  #run(call: symbol): void {
    const failed = (cause: unknown): void => this.#settle(call, { failure: { reason: "getToken failed", cause } });
    const returned = (result: unknown): void => this.#settle(call, outcomeOf(result));
    try {
      // Without a receiver: `this` would be this object.
      const getToken = this.#getToken;
      const result = getToken();
      if (isPromise(result)) result.then(returned, failed);
      else returned(result);
    } catch (thrown) {
      failed(thrown);
    }
  }

  #settle(call: symbol | undefined, outcome: TokenOutcome): void {
    if (call === undefined || this.#call !== call) return;
    this.#call = undefined;
    const asker = this.#asker;
    this.leave();
    if (asker !== undefined) this.#ports.batch(() => asker(outcome));
  }
}

function outcomeOf(result: unknown): TokenOutcome {
  if (isCredential(result)) return { token: result };
  return { failure: { reason: "getToken returned no token: it must return a string, without spaces or quotes" } };
}
