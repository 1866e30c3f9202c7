import type { PublisherError } from "./errors.ts";
import type { Settle } from "./outcome.ts";
import { type EarlierAttempt, OutgoingRecord, type RecordIdentity } from "./record.ts";

/** What a lane needs from its publisher. */
export interface LanePort {
  /** Ms since 1970. */
  now(): number;
  /** Upper bound of a record with more than one event, bytes; it can change with the server that is connected to. */
  recordBytes(): number;
  readonly recordEvents: number;
  identify(subject: string, key: string | undefined): RecordIdentity;
  /** Whether the lane may send now; if not, it is told to advance when it may. */
  takeTurn(lane: Lane): boolean;
  /** What took a turn is settled. */
  giveTurn(): void;
  /** Nothing is added to the record any more: how long it is is known from now on. */
  complete(record: OutgoingRecord): void;
  /** Takes a record over until it is settled. */
  send(record: OutgoingRecord): void;
  /** Called whenever a record was settled. */
  settled(lane: Lane, record: OutgoingRecord): void;
  /** Why a record that was not sent in its time is given up. */
  late(record: OutgoingRecord): PublisherError;
}

/** An event on its way into a lane. */
export interface LaneEvent {
  readonly line: string;
  /** How long it is tried, milliseconds. */
  readonly timeoutMs: number;
  /** Who waits for it; if nobody is given, the record's `result` is to be called next. */
  readonly settle?: Settle;
}

/** An event that somebody waits for by a function. */
export interface AwaitedEvent extends LaneEvent {
  readonly settle: Settle;
}

/** The longest that deadlines of events in one record lie apart, milliseconds: they are given up together. */
const DEADLINES_APART_MS = 1_000;

/**
 * One channel's way to the log: a queue of records, the last of which fills up, and at most one in flight. That is
 * what makes the order strict: the next record is sent when the log has the one before it.
 */
export class Lane {
  readonly channel: string;
  readonly subject: string;
  /** Whether its publisher counts it among those with something in them. */
  busy = false;
  readonly #port: LanePort;
  /** The queue, linked through `next`. */
  #first: OutgoingRecord | undefined;
  #last: OutgoingRecord | undefined;
  #inFlight: OutgoingRecord | undefined;
  /** Length of the last record that was sent, bytes: the next one is often as long. */
  #usual = 0;
  #advancing = false;
  /** The latest deadline in the queue, and whether no earlier one is behind a later: then only the front has to be looked at. */
  #latest = 0;
  #inOrder = true;

  constructor(channel: string, subject: string, port: LanePort) {
    this.channel = channel;
    this.subject = subject;
    this.#port = port;
  }

  /** The record that is settled last; `undefined` if the lane is idle. */
  get tail(): OutgoingRecord | undefined {
    return this.#last ?? this.#inFlight;
  }

  /** Resolves when all that is in it now is settled: one behind may be given up before one in front of it. */
  async settled(): Promise<void> {
    const left: Promise<void>[] = [];
    // The promises of its events are settled a microtask after that, and who waits for them is told before.
    const wait = (record: OutgoingRecord): void =>
      void left.push(new Promise((resolve) => record.onSettled(() => queueMicrotask(resolve))));
    if (this.#inFlight !== undefined) wait(this.#inFlight);
    if (this.#inOrder && this.#last !== undefined) wait(this.#last);
    else for (let record = this.#first; record !== undefined; record = record.next) wait(record);
    await Promise.all(left);
  }

  /** Whether an event that comes now needs a record of its own. */
  opens(line: string, timeoutMs: number, key: string | undefined, now: number): boolean {
    const record = this.#last;
    return record === undefined || key !== undefined || !this.#fits(record, line, now + timeoutMs, timeoutMs);
  }

  /** Returns the record that the event travels in. */
  push(event: LaneEvent, key?: string, now = this.#port.now()): OutgoingRecord {
    const { line, timeoutMs, settle } = event;
    const deadline = now + timeoutMs;
    let record = this.#last;
    if (record === undefined || this.opens(line, timeoutMs, key, now)) {
      record = this.#open(this.#port.identify(this.subject, key), now);
    }
    record.add(line, deadline, timeoutMs, settle);
    if (record.whole) record.seal();
    this.#due(record.deadline);
    return record;
  }

  /** All of them in one record, which nothing is added to. */
  pushTogether(
    events: readonly AwaitedEvent[],
    identity: RecordIdentity,
    earlier?: EarlierAttempt,
    openedAt?: number,
  ): OutgoingRecord {
    const now = this.#port.now();
    const record = this.#open(identity, openedAt ?? now, earlier);
    // Who it is is known outside already, and what it holds.
    record.whole = true;
    if (openedAt !== undefined) record.recovered = true;
    for (const { line, timeoutMs, settle } of events) {
      record.add(line, now + timeoutMs, timeoutMs, settle);
    }
    record.seal();
    this.#due(record.deadline);
    return record;
  }

  /** Sends the next record unless one is in flight. A loop, because a record can fail while it is being sent. */
  advance(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    try {
      while (this.#inFlight === undefined && this.#front() !== undefined && this.#port.takeTurn(this)) {
        const record = this.#shift() as OutgoingRecord;
        this.#inFlight = record;
        record.underWay = true;
        this.#seal(record);
        record.onSettled(() => {
          this.#inFlight = undefined;
          this.#usual = record.bytes;
          this.#port.giveTurn();
          this.#port.settled(this, record);
        });
        this.#port.send(record);
      }
    } finally {
      this.#advancing = false;
    }
  }

  /** Rejects what has waited for its turn too long. */
  expire(): void {
    const now = this.#port.now();
    if (this.#inOrder) {
      while (this.#first !== undefined && now >= this.#first.deadline) {
        const record = this.#first;
        this.#shift();
        this.#fail(record, this.#port.late(record));
      }
      return;
    }
    let due: OutgoingRecord[] | undefined;
    let before: OutgoingRecord | undefined;
    for (let record = this.#first, next: typeof record; record !== undefined; record = next) {
      next = record.next;
      if (now < record.deadline) {
        before = record;
        continue;
      }
      if (before === undefined) this.#first = next;
      else before.next = next;
      if (record === this.#last) this.#last = before;
      record.next = undefined;
      due ??= [];
      due.push(record);
    }
    if (this.#first === undefined) this.#inOrder = true;
    for (const record of due ?? []) this.#fail(record, this.#port.late(record));
  }

  /** Rejects everything that waits; what is in flight is not the lane's any more. */
  abandon(why: (record: OutgoingRecord) => PublisherError): void {
    for (let record = this.#shift(); record !== undefined; record = this.#shift()) this.#fail(record, why(record));
  }

  /** A new record at the end of the queue. */
  #open(identity: RecordIdentity, now: number, earlier?: EarlierAttempt): OutgoingRecord {
    // One that opens behind another is not so sure to fill up: there can be any number of them.
    const room = this.#last === undefined ? this.#usual : 0;
    const record = new OutgoingRecord(this.channel, this.subject, identity, now, earlier, room);
    if (this.#last === undefined) this.#first = record;
    else {
      this.#seal(this.#last);
      this.#last.next = record;
    }
    this.#last = record;
    return record;
  }

  #seal(record: OutgoingRecord): void {
    record.seal();
    this.#port.complete(record);
  }

  /** The first record that can be sent: what was taken back whole, or has waited too long, is settled on the way. */
  #front(): OutgoingRecord | undefined {
    for (let record = this.#first; record !== undefined; record = this.#first) {
      if (record.events > 0 && this.#port.now() < record.deadline) return record;
      this.#shift();
      if (record.events > 0) this.#fail(record, this.#port.late(record));
      else {
        record.settle();
        this.#port.settled(this, record);
      }
    }
    return undefined;
  }

  #due(deadline: number): void {
    if (deadline < this.#latest) this.#inOrder = false;
    else this.#latest = deadline;
  }

  #fail(record: OutgoingRecord, error: PublisherError): void {
    record.fail(error);
    this.#port.settled(this, record);
  }

  #shift(): OutgoingRecord | undefined {
    const record = this.#first;
    if (record === undefined) return undefined;
    this.#first = record.next;
    // A settled record that is old to the garbage collector would keep the one behind it, that one the next, and so on for ever:
    // everything that is ever published would become old.
    record.next = undefined;
    if (this.#first === undefined) {
      this.#last = undefined;
      this.#latest = 0;
      this.#inOrder = true;
    }
    return record;
  }

  #fits(record: OutgoingRecord, line: string, deadline: number, timeoutMs: number): boolean {
    return (
      !record.whole &&
      record.events < this.#port.recordEvents &&
      record.takes(line, this.#port.recordBytes()) &&
      // Events of a record are given up together, so those that are to be at different times do not share one. The
      // difference of two that never are is no number.
      !(Math.abs(deadline - record.dueAt) >= Math.min(DEADLINES_APART_MS, timeoutMs / 4))
    );
  }
}
