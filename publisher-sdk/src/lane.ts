import { PublisherError } from "./errors.ts";
import { OutgoingRecord, type PublishResult, type RecordIdentity } from "./record.ts";

/** What a lane needs from its publisher. */
export interface LanePort {
  /** Ms since 1970. */
  now(): number;
  /** Upper bound of a record with more than one event, bytes; it can change with the server that is connected to. */
  recordBytes(): number;
  readonly recordEvents: number;
  /** How long a record that waits may go on filling, milliseconds. */
  readonly fillMs: number;
  /** How long an event is tried, milliseconds. */
  readonly publishTimeoutMs: number;
  identify(subject: string, key: string | undefined): RecordIdentity;
  /** Takes a record over until it is settled. */
  send(record: OutgoingRecord): void;
  /** Called whenever a record was settled. */
  settled(lane: Lane, record: OutgoingRecord): void;
  /** Why nothing moves, for the message of an error. */
  problem(): string;
}

/**
 * One channel's way to the log: a queue of records, the last of which fills up, and at most one in flight. That is
 * what makes the order strict: the next record is sent when the log has the one before it.
 */
export class Lane {
  readonly channel: string;
  readonly #subject: string;
  readonly #port: LanePort;
  /** The queue, linked through `next`. */
  #first: OutgoingRecord | undefined;
  #last: OutgoingRecord | undefined;
  #inFlight: OutgoingRecord | undefined;
  #advancing = false;

  constructor(channel: string, subject: string, port: LanePort) {
    this.channel = channel;
    this.#subject = subject;
    this.#port = port;
  }

  /** The record that is settled last; `undefined` if the lane is idle. */
  get tail(): OutgoingRecord | undefined {
    return this.#last ?? this.#inFlight;
  }

  push(
    line: string,
    bytes: number,
    key: string | undefined,
    resolve: (result: PublishResult) => void,
    reject: (error: PublisherError) => void,
  ): void {
    const now = this.#port.now();
    let record = this.#last;
    if (record === undefined || key !== undefined || !this.#fits(record, bytes, now)) {
      record = new OutgoingRecord(this.#subject, this.#port.identify(this.#subject, key), now);
      if (this.#last === undefined) this.#first = record;
      else this.#last.next = record;
      this.#last = record;
    }
    record.add(line, bytes, now, resolve, reject);
  }

  /** Sends the next record unless one is in flight. A loop, because a record can fail while it is being sent. */
  advance(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    while (this.#inFlight === undefined) {
      this.expire();
      const record = this.#shift();
      if (record === undefined) break;
      this.#inFlight = record;
      record.onSettled(() => {
        this.#inFlight = undefined;
        this.#port.settled(this, record);
      });
      this.#port.send(record);
    }
    this.#advancing = false;
  }

  /** Rejects what has waited for its turn too long. */
  expire(): void {
    const now = this.#port.now();
    const timeoutMs = this.#port.publishTimeoutMs;
    while (this.#first !== undefined && now - this.#first.lastAt >= timeoutMs) {
      this.#reject(new PublisherError("unavailable", `not sent within ${timeoutMs} ms: ${this.#port.problem()}`));
    }
  }

  /** Rejects everything that waits; what is in flight is not the lane's any more. */
  abandon(error: PublisherError): void {
    while (this.#first !== undefined) this.#reject(error);
  }

  #reject(error: PublisherError): void {
    const record = this.#shift();
    if (record === undefined) return;
    record.fail(error);
    this.#port.settled(this, record);
  }

  #shift(): OutgoingRecord | undefined {
    const record = this.#first;
    this.#first = record?.next;
    if (this.#first === undefined) this.#last = undefined;
    return record;
  }

  #fits(record: OutgoingRecord, bytes: number, now: number): boolean {
    return (
      !record.keyed &&
      record.events < this.#port.recordEvents &&
      record.bytes + 1 + bytes <= this.#port.recordBytes() &&
      // Events of a record are given up together, so those that came far apart do not share one.
      now - record.openedAt < this.#port.fillMs
    );
  }
}
