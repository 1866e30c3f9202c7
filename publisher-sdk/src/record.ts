import { checkOf, formatEventId } from "@kata/protocol/wire";
import type { PublisherError } from "./errors.ts";

export interface PublishResult {
  /** The event's place in the log. */
  readonly eventId: string;
  /** Whether an earlier publish with the same idempotency key had stored it already. */
  readonly duplicate: boolean;
}

const LINE_FEED = 10;
const EMPTY = Buffer.alloc(0);

export interface RecordIdentity {
  /** The `Nats-Msg-Id`, the same in every attempt. */
  readonly messageId: string;
  /**
   * For an event with an idempotency key, whose message id others may use too: what is this publish's own. It is how
   * a message that is found in the log is known to be ours.
   */
  readonly publishId?: string;
}

/** What an event is counted with beside its line: a line feed, its promise and its places in arrays, bytes. */
export const EVENT_OVERHEAD_BYTES = 256;

/**
 * One record on its way: the events that travel in one NATS message and the promises that wait for it. It fills up in
 * its lane until it is its turn, and is settled once, as a whole.
 */
export class OutgoingRecord {
  readonly subject: string;
  readonly identity: RecordIdentity;
  /** When its first event came, ms since 1970. */
  readonly openedAt: number;
  /** When its last event came, ms since 1970. */
  lastAt: number;
  /** Length of the record, bytes. */
  bytes = 0;
  /** What it counts for in the bounded queue, bytes. */
  charge = 0;
  /** The one behind it in its lane. */
  next: OutgoingRecord | undefined;
  /**
   * The lines, encoded as they come: what waits is outside the garbage-collected heap, where hundreds of thousands of
   * strings would be moved about.
   */
  #buffer: Buffer = EMPTY;
  readonly #resolves: ((result: PublishResult) => void)[] = [];
  readonly #rejects: ((error: PublisherError) => void)[] = [];
  readonly #listeners: (() => void)[] = [];

  constructor(subject: string, identity: RecordIdentity, now: number) {
    this.subject = subject;
    this.identity = identity;
    this.openedAt = now;
    this.lastAt = now;
  }

  get events(): number {
    return this.#resolves.length;
  }

  /** Whether it carries an event with an idempotency key, which travels alone. */
  get keyed(): boolean {
    return this.identity.publishId !== undefined;
  }

  add(
    line: string,
    bytes: number,
    now: number,
    resolve: (result: PublishResult) => void,
    reject: (error: PublisherError) => void,
  ): void {
    const start = this.bytes === 0 ? 0 : this.bytes + 1;
    if (start + bytes > this.#buffer.length) this.#grow(start + bytes);
    if (start > 0) this.#buffer[start - 1] = LINE_FEED;
    this.#buffer.write(line, start);
    this.bytes = start + bytes;
    this.charge += bytes + EVENT_OVERHEAD_BYTES;
    this.lastAt = now;
    this.#resolves.push(resolve);
    this.#rejects.push(reject);
  }

  /** The bytes to send: the same in every attempt, so nothing is added after the first. */
  get data(): Uint8Array {
    return this.#buffer.subarray(0, this.bytes);
  }

  /** Calls `listener` after the events' promises have been settled. */
  onSettled(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** The log has it. */
  succeed(epoch: string, seq: number, duplicate: boolean): void {
    const check = checkOf(this.identity.messageId);
    for (let n = 0; n < this.#resolves.length; n++) {
      this.#resolves[n]?.({ eventId: formatEventId(epoch, seq, check, n), duplicate });
    }
    this.#settle();
  }

  fail(error: PublisherError): void {
    for (const reject of this.#rejects) reject(error);
    this.#settle();
  }

  #grow(bytes: number): void {
    // The first event gets what it needs: most records of a quiet channel have no second one.
    const grown = Buffer.allocUnsafe(this.bytes === 0 ? bytes : Math.max(bytes, 2 * this.#buffer.length));
    this.#buffer.copy(grown, 0, 0, this.bytes);
    this.#buffer = grown;
  }

  #settle(): void {
    for (const listener of this.#listeners) listener();
  }
}
