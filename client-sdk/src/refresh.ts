import type { ErrorPayload } from "@kata/protocol/wire";
import type { Cancel, Clock } from "./clock.ts";
import type { ConnectionPolicy } from "./connection-state.ts";
import type { Incoming } from "./decode.ts";
import { NO_REFRESH, nextRefresh, type RefreshInput } from "./refresh-state.ts";
import type { TokenFailure, TokenSource } from "./token-source.ts";
import { isWarning } from "./unasked.ts";

export interface RefreshPorts {
  readonly clock: Clock;
  /** Sends `auth`. @returns its id */
  offer(token: string): number;
  /** The credentials of this connection have lasted for a while. */
  lasted(): void;
  /** It did not help; it is tried again for as long as the connection lasts. */
  failed(failure: TokenFailure, detail?: ErrorPayload): void;
}

/** Renews the credentials of an open connection: when that is tried is decided in refresh-state.ts. */
export class Refresh {
  readonly #policy: ConnectionPolicy;
  readonly #tokens: TokenSource;
  readonly #ports: RefreshPorts;
  #state = NO_REFRESH;
  #timer: Cancel = () => {};
  /** Of the last `auth`. */
  #id: number | undefined;

  constructor(policy: ConnectionPolicy, tokens: TokenSource, ports: RefreshPorts) {
    this.#policy = policy;
    this.#tokens = tokens;
    this.#ports = ports;
  }

  open(): void {
    this.#apply("open");
  }

  end(): void {
    this.#apply("end");
    this.#id = undefined;
  }

  /** Whether the message is about the credentials: then it is nobody else's. */
  takes(message: Incoming): boolean {
    if (message.kind === "authenticated") {
      if (message.id === this.#id) this.#apply("accepted");
      return true;
    }
    if (message.kind !== "error") return false;
    const { error } = message;
    if (error.id !== undefined && error.id === this.#id) {
      this.#apply("refused");
      this.#ports.failed({ reason: `the broker refused the token of getToken: ${error.message}` }, error);
      return true;
    }
    if (!isWarning(message)) return false;
    this.#apply("warned");
    return true;
  }

  #apply(input: RefreshInput): void {
    const before = this.#state;
    const after = nextRefresh(before, input, this.#policy);
    if (after === before) return;
    this.#state = after;
    this.#timer();
    switch (after.step) {
      case "settling":
      case "pausing":
        this.#timer = this.#ports.clock.after(after.delayMs, () => this.#apply("due"));
        return;
      case "resting":
        return this.#ports.lasted();
      case "asking":
        return this.#ask();
      case "offered":
        return;
      case "off":
        return this.#tokens.leave();
    }
  }

  #ask(): void {
    this.#tokens.ask(({ token, failure }) => {
      if (token === undefined) {
        this.#apply("failed");
        return this.#ports.failed(failure);
      }
      this.#apply("token");
      this.#id = this.#ports.offer(token);
    });
  }
}
