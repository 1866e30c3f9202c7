import { createInbox, type Msg, type NatsConnection, type Subscription } from "@nats-io/transport-node";
import { LogUnavailableError } from "./event-log.ts";

/** What a reply handler returns: whether the conversation goes on. */
type Handler = (msg: Msg) => "more" | "done";

interface Waiting {
  readonly handler: Handler;
  readonly fail: (error: LogUnavailableError) => void;
  heardAt: number;
}

/**
 * Requests that are answered by many messages, over one inbox subscription. A conversation fails when nothing was
 * heard of it for `timeoutMs`, or when the connection is lost.
 */
export class Replies {
  readonly #nc: NatsConnection;
  readonly #prefix: string;
  readonly #timeoutMs: number;
  readonly #waiting = new Map<string, Waiting>();
  readonly #subscription: Subscription;
  readonly #sweep: NodeJS.Timeout;
  #counter = 0;

  constructor(nc: NatsConnection, timeoutMs: number) {
    this.#nc = nc;
    this.#timeoutMs = timeoutMs;
    this.#prefix = `${createInbox()}.`;
    this.#subscription = nc.subscribe(`${this.#prefix}*`, {
      callback: (error, msg) => {
        if (error !== null) return this.fail(new LogUnavailableError(`NATS refused the reply inbox: ${error.message}`));
        this.#dispatch(msg);
      },
    });
    this.#sweep = setInterval(() => this.#expire(), Math.max(50, timeoutMs / 10));
    this.#sweep.unref();
  }

  /** Sends `body` and calls `handler` with every reply until it says `done`. */
  ask(subject: string, body: string, handler: Handler): Promise<void> {
    return new Promise((resolve, reject) => {
      const token = (++this.#counter).toString(36);
      this.#waiting.set(token, {
        heardAt: performance.now(),
        handler: (msg) => {
          try {
            const next = handler(msg);
            if (next === "done") resolve();
            return next;
          } catch (error) {
            reject(error);
            return "done";
          }
        },
        fail: reject,
      });
      try {
        this.#nc.publish(subject, body, { reply: this.#prefix + token });
      } catch (error) {
        this.#waiting.delete(token);
        reject(new LogUnavailableError("the connection to NATS is closed", { cause: error }));
      }
    });
  }

  /** Ends every conversation, when the connection is lost. */
  fail(error: LogUnavailableError): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const each of waiting) each.fail(error);
  }

  close(): void {
    clearInterval(this.#sweep);
    if (!this.#nc.isClosed()) this.#subscription.unsubscribe();
    this.fail(new LogUnavailableError("the log is closed"));
  }

  #dispatch(msg: Msg): void {
    const token = msg.subject.slice(this.#prefix.length);
    const waiting = this.#waiting.get(token);
    if (waiting === undefined) return;
    waiting.heardAt = performance.now();
    if (waiting.handler(msg) === "done") this.#waiting.delete(token);
  }

  #expire(): void {
    const limit = performance.now() - this.#timeoutMs;
    for (const [token, waiting] of this.#waiting) {
      if (waiting.heardAt >= limit) continue;
      this.#waiting.delete(token);
      waiting.fail(new LogUnavailableError(`the log did not answer within ${this.#timeoutMs} ms`));
    }
  }
}
