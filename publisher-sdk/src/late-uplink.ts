import { setTimeout as delay } from "node:timers/promises";
import { backoffMs } from "./backoff.ts";
import { NoBrokerError, PublisherError, type PublisherErrorCode } from "./errors.ts";
import type { OutgoingRecord } from "./record.ts";
import type { Uplink } from "./uplink.ts";

export interface LateUplinkOptions {
  /** Makes the uplink, in one attempt. */
  connect(): Promise<Uplink>;
  /** Why the attempt before this one failed. */
  readonly failure: PublisherError;
  /** What the uplink will take, bytes. */
  readonly maxRecordBytes: number;
  /** Called when records can be sent. */
  ready(): void;
  /** Ends the attempt that is being made. */
  abandon(): void;
}

/**
 * An uplink to what cannot be reached yet: for a publisher whose spool keeps what waits. It tries for ever.
 */
export class LateUplink implements Uplink {
  readonly #options: LateUplinkOptions;
  readonly #closing = new AbortController();
  readonly #warned = new Set<string>();
  #uplink: Uplink | undefined;
  #problem: string;

  constructor(options: LateUplinkOptions) {
    this.#options = options;
    this.#problem = options.failure.message;
    this.#warn(options.failure);
    void this.#connect();
  }

  get problem(): string {
    return this.#uplink?.problem ?? this.#problem;
  }

  get connected(): boolean {
    return this.#uplink?.connected ?? false;
  }

  get maxRecordBytes(): number {
    return this.#options.maxRecordBytes;
  }

  /** None before there is anything to send them to: they wait in their lanes. */
  get maxInFlight(): number {
    return this.#uplink?.maxInFlight ?? 0;
  }

  get newest(): string | undefined {
    return this.#uplink?.newest;
  }

  send(record: OutgoingRecord): void {
    if (this.#uplink !== undefined) this.#uplink.send(record);
    else record.giveUp("unavailable", this.#problem);
  }

  sweep(): void {
    this.#uplink?.sweep();
  }

  async close(code: PublisherErrorCode, why: string): Promise<void> {
    this.#closing.abort();
    if (this.#uplink !== undefined) await this.#uplink.close(code, why);
    else this.#options.abandon();
  }

  async #connect(): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; this.#uplink === undefined; failures++) {
      // Only what waits keeps the process alive.
      await delay(backoffMs(failures), undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        const uplink = await this.#options.connect();
        // Nobody has waited for it.
        if (signal.aborted) return await uplink.close("closed", "the publisher is closed");
        this.#uplink = uplink;
      } catch (error) {
        if (signal.aborted) return;
        this.#problem = error instanceof Error ? error.message : String(error);
        this.#warn(error);
      }
    }
    this.#options.ready();
  }

  /** Once for each kind of what does not look as if it would pass: nobody waits for an answer any more. */
  #warn(error: unknown): void {
    const kind = error instanceof PublisherError ? error.code : "";
    if (kind === "unavailable" && !(error instanceof NoBrokerError)) return;
    if (this.#warned.has(kind)) return;
    this.#warned.add(kind);
    process.emitWarning(`what is published waits in the spool: ${this.#problem}`, "KataPublisher");
  }
}
