import type { ErrorPayload } from "@kata/protocol/wire";
import type { ConnectionPolicy } from "./connection-state.ts";
import type { Incoming } from "./decode.ts";
import type { CredentialsSource } from "./options.ts";
import { Refresh } from "./refresh.ts";
import { type TokenFailure, type TokenOutcome, TokenSource, type TokenSourcePorts } from "./token-source.ts";

export interface CredentialsPorts extends TokenSourcePorts {
  /** Sends `auth`. @returns its id */
  offer(token: string): number;
  /** Those of the open connection have lasted for a while. */
  lasted(): void;
  /** There are no fresh ones for the open connection. @param detail what the broker said, where it refused them */
  failed(failure: TokenFailure, detail?: ErrorPayload): void;
}

/** What one connection after the other is opened with and kept open with: fixed, or asked for again and again. */
export class Credentials {
  readonly #source: CredentialsSource;
  /** Both only where the application is asked. */
  readonly #tokens: TokenSource | undefined;
  readonly #refresh: Refresh | undefined;

  constructor(source: CredentialsSource, policy: ConnectionPolicy, ports: CredentialsPorts) {
    this.#source = source;
    if (source.kind !== "asked") return;
    this.#tokens = new TokenSource(source.getToken, source.timeoutMs, ports);
    this.#refresh = new Refresh(policy, this.#tokens, ports);
  }

  /** Whether the next attempt may have others; a key is left to the broker, which says by itself that it has ended. */
  get renewable(): boolean {
    return this.#source.kind !== "token";
  }

  /** Those for one attempt; `fetched` may be called from inside, and is not called any more after `release()`. */
  fetch(fetched: (outcome: TokenOutcome) => void): void {
    if (this.#source.kind !== "asked") return fetched({ token: this.#source.text });
    this.#tokens?.ask(fetched);
  }

  /** The connection is open. */
  open(): void {
    this.#refresh?.open();
  }

  /** The connection, or the attempt, is gone. */
  release(): void {
    this.#refresh?.end();
    this.#tokens?.leave();
  }

  /** Whether the message is about the credentials: then it is nobody else's. */
  takes(message: Incoming): boolean {
    return this.#refresh?.takes(message) ?? false;
  }
}
