import {
  AuthorizationError,
  type NatsConnection,
  PermissionViolationError,
  type Status,
} from "@nats-io/transport-node";
import { backoffMs } from "./backoff.ts";
import { onClosed } from "./closed-connection.ts";
import type { StreamFacts, StreamReader } from "./stream-reader.ts";

export interface WatchHandlers {
  /** The stream may have been made anew: nothing that is acknowledged can be given an epoch until `known`. */
  doubted(): void;
  /** The stream has answered. */
  known(facts: StreamFacts): void;
  /** NATS refuses this publisher a subject. */
  refused(subject: string): void;
  /** The connection is closed for good. */
  closed(): void;
}

/**
 * Knows whether the log can be reached and which incarnation of the stream it is. Asks again after each reconnect
 * and whenever it is told to doubt, until it is answered.
 */
export class StreamWatch {
  readonly #reader: StreamReader;
  readonly #handlers: WatchHandlers;
  #facts: StreamFacts | undefined;
  #connected = true;
  #closed = false;
  #asking = false;
  /** Counts the doubts: an answer to a question from before the last one says nothing. */
  #doubts = 0;
  #problem = "the stream has not answered yet";
  #wake: (() => void) | undefined;
  /** Hears nothing of the connection any more. */
  readonly #letGo: () => void;

  constructor(nc: NatsConnection, reader: StreamReader, handlers: WatchHandlers) {
    this.#reader = reader;
    this.#handlers = handlers;
    const status = nc.status();
    const stopTelling = onClosed(nc, () => handlers.closed());
    this.#letGo = () => {
      stopTelling();
      stop(status);
    };
    void this.#follow(status);
    this.ask();
  }

  /** What is known of the stream; `undefined` while in doubt. */
  get facts(): StreamFacts | undefined {
    return this.#facts;
  }

  /** Why nothing moves, as far as is known: part of an error's message. */
  get problem(): string {
    return this.#problem;
  }

  doubt(problem: string): void {
    this.#doubts++;
    this.#facts = undefined;
    this.#problem = problem;
    this.#handlers.doubted();
    this.#wake?.();
    this.ask();
  }

  /** Asks the stream how it is, unless it is being asked. */
  ask(): void {
    if (!this.#asking && this.#connected && !this.#closed) void this.#ask();
  }

  close(): void {
    this.#closed = true;
    this.#letGo();
    this.#facts = undefined;
    this.#wake?.();
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    for (let failures = 0; this.#connected && !this.#closed; ) {
      const doubts = this.#doubts;
      const facts = await this.#answer();
      // In doubt anew: whatever was answered, ask again at once.
      if (doubts !== this.#doubts || this.#closed) continue;
      if (facts !== undefined) {
        this.#asking = false;
        this.#facts = facts;
        this.#problem = "the log does not acknowledge";
        this.#handlers.known(facts);
        return;
      }
      await this.#pause(backoffMs(failures++));
    }
    this.#asking = false;
  }

  /** The stream's answer; `undefined` if there is none, or as soon as there is a new doubt. */
  #answer(): Promise<StreamFacts | undefined> {
    return new Promise((resolve) => {
      // A request that was lost with its connection would be waited for until its timeout.
      const interrupt = (): void => resolve(undefined);
      this.#wake = interrupt;
      this.#reader.facts().then(resolve, (error: unknown) => {
        if (this.#wake !== interrupt) return;
        this.#problem = error instanceof Error ? error.message : String(error);
        resolve(undefined);
      });
    });
  }

  async #follow(statuses: AsyncIterable<Status>): Promise<void> {
    for await (const status of statuses) {
      if (this.#closed) return;
      if (status.type === "disconnect") {
        if (!this.#connected) continue;
        this.#connected = false;
        this.doubt("not connected to NATS");
      } else if (status.type === "reconnect") {
        this.#connected = true;
        this.ask();
      } else if (status.type === "error" && status.error instanceof PermissionViolationError) {
        this.#handlers.refused(status.error.subject);
      } else if (status.type === "error" && status.error instanceof AuthorizationError && !this.#connected) {
        this.#problem = "NATS refuses the credentials, or no broker is there to vouch for them";
      }
    }
  }

  /** Ends early when there is a new doubt. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Ends the loop over them: by itself it would end with the next one, and be kept by the connection until then. */
function stop(statuses: AsyncIterable<Status> & { stop?: () => void }): void {
  statuses.stop?.();
}
