import { createHash } from "node:crypto";
import { checkOf, formatEventId, furtherEventId } from "@kata/protocol/wire";
import type { PublisherError } from "./errors.ts";
import { type PublishResult, Refusal, type Settle } from "./outcome.ts";
import { Waiters } from "./waiters.ts";

const LINE_FEED = 10;
const EMPTY = Buffer.alloc(0);
/** What lines are gathered in, bytes: what a record leaves unused of its last one is all that it wastes. */
const CHUNK_BYTES = 16 * 1024;
/** A line from so many bytes on has a piece of memory of its own. */
const ALONE_BYTES = 2 * 1024;

export interface RecordIdentity {
  /** The `Nats-Msg-Id`, the same in every attempt. */
  readonly messageId: string;
  /**
   * For a record with an idempotency key, whose message id others may use too: what is this publish's own. It is how
   * a message that is found in the log is known to be ours.
   */
  readonly publishId?: string;
  /** The idempotency key itself. */
  readonly key?: string;
  /** Whether what it holds must be what stands under its key already: so where the key was given for several events. */
  readonly compared?: boolean;
}

/** An attempt that may have been made before this process took the record over. */
export interface EarlierAttempt {
  /** When the first one was made at the earliest, ms since 1970. */
  readonly since: number;
  /** An eventId that the log had before it; `undefined` if none is known. */
  readonly after: string | undefined;
}

/** What an event is counted with beside its line: a line feed, its promise and its place in an array, bytes. */
export const EVENT_OVERHEAD_BYTES = 256;

/** What a record is counted with beside its events: itself, its identity and its lists, bytes. */
export const RECORD_OVERHEAD_BYTES = 768;

/**
 * One record on its way: the events that travel in one NATS message and the promises that wait for it. It fills up in
 * its lane until it is its turn, and is settled once, as a whole.
 */
export class OutgoingRecord {
  readonly channel: string;
  readonly subject: string;
  readonly identity: RecordIdentity;
  readonly earlier: EarlierAttempt | undefined;
  /** When its first event came, ms since 1970. */
  readonly openedAt: number;
  /** When it is given up, ms since 1970: the latest that one of its events asked for, and what the first one did. */
  deadline = 0;
  dueAt = 0;
  /** How long its last event is tried, milliseconds. */
  timeoutMs = 0;
  /** How many events it holds. */
  events = 0;
  /** Length of the record, bytes. */
  bytes = 0;
  /** What it counts for in the bounded queue, bytes. */
  charge = RECORD_OVERHEAD_BYTES;
  /** Whether it counts there yet beside its events. */
  counted = false;
  /** Whether nothing is added to what it holds. */
  whole: boolean;
  /** Whether its turn has come: from then on it is what it is. */
  underWay = false;
  /** When it was first sent, ms since 1970, and how often it was. For whoever measures. */
  sentAt = 0;
  attempts = 0;
  /** Whether an earlier process had accepted it: it comes from the spool. */
  recovered = false;
  /** How many of its events are not in it although it was stored. */
  refused = 0;
  /** Why it was not stored, as far as is known; `undefined` if it was, or is not settled. */
  error: PublisherError | undefined;
  /** The one behind it in its lane. */
  next: OutgoingRecord | undefined;
  /**
   * The lines, encoded as they come: what waits is outside the garbage-collected heap, where hundreds of thousands of
   * strings would be moved about.
   */
  #buffer: Buffer = EMPTY;
  /** How much of `#buffer` is in use, and what is full. */
  #used = 0;
  #full: Buffer[] | undefined;
  readonly #room: number;
  #digest: string | undefined;
  /** Who waits for which event. */
  #waiters = new Waiters();
  #listeners: (() => void)[] = NONE;

  /** @param room how long it is expected to become, bytes */
  constructor(
    channel: string,
    subject: string,
    identity: RecordIdentity,
    now: number,
    earlier?: EarlierAttempt,
    room = 0,
  ) {
    this.#room = room;
    this.channel = channel;
    this.subject = subject;
    this.identity = identity;
    this.openedAt = now;
    this.earlier = earlier;
    this.whole = identity.publishId !== undefined;
  }

  /** Whether it travels under an idempotency key. */
  get keyed(): boolean {
    return this.identity.publishId !== undefined;
  }

  /**
   * What is stored with what has a key, so that the same key with something else can be noticed: how many events, and which. Their times and
   * traces do not count: whoever publishes again what it published before does so later.
   */
  get digest(): string | undefined {
    if (!this.keyed) return undefined;
    this.#digest ??= `${this.events}.${digestOf(this.#joined().toString("utf8", 0, this.bytes))}`;
    return this.#digest;
  }

  /** Whether what the log has under its key is taken for what it is; `stored` is the digest there, `undefined` where it is not known. */
  isStoredAs(stored: string | undefined): boolean {
    const { digest } = this;
    if (stored === undefined || digest === undefined) return true;
    // Beyond the one event that a place in the record stands for there would be none.
    return this.identity.compared === true ? stored === digest : stored.startsWith("1.");
  }

  /**
   * One more event.
   *
   * @param settle who waits for it; if nobody is given, `result` is to be called next
   */
  add(line: string, bytes: number, deadline: number, timeoutMs: number, settle?: Settle): void {
    const feed = this.bytes === 0 ? 0 : 1;
    if (this.#used + feed + bytes > this.#buffer.length) this.#extend(feed + bytes);
    if (feed > 0) this.#buffer[this.#used] = LINE_FEED;
    // As many bytes as characters: ASCII, which needs no encoding.
    this.#buffer.write(line, this.#used + feed, bytes, bytes === line.length ? "latin1" : "utf8");
    this.#used += feed + bytes;
    this.bytes += feed + bytes;
    this.charge += bytes + EVENT_OVERHEAD_BYTES;
    if (this.events === 0) this.dueAt = deadline;
    if (deadline > this.deadline) this.deadline = deadline;
    this.timeoutMs = timeoutMs;
    if (settle !== undefined) this.#waiters.add(this.events, settle);
    this.events++;
  }

  /** What becomes of the event that was added last. */
  result(): Promise<PublishResult> {
    return this.#waiters.promise(this.events - 1);
  }

  /** The bytes to send: the same in every attempt, so nothing is added or taken out after the first. None once it is settled. */
  get data(): Uint8Array {
    return this.#joined().subarray(0, this.bytes);
  }

  /** Calls `listener` after the events' promises have been settled. */
  onSettled(listener: () => void): void {
    if (this.#listeners === NONE) this.#listeners = [listener];
    else this.#listeners.push(listener);
  }

  /**
   * Takes an event out that has not been sent; it is known by who waits for it.
   *
   * @returns what it counted for in the queue, bytes; `undefined` if it is not there (any more)
   */
  withdraw(settle: Settle): number | undefined {
    const at = this.#waiters.placeOf(settle);
    if (at === -1) return undefined;
    const all = this.#joined();
    let start = 0;
    for (let i = 0; i < at; i++) start = all.indexOf(LINE_FEED, start) + 1;
    const feed = at === this.events - 1 ? this.bytes : all.indexOf(LINE_FEED, start);
    const charge = feed - start + EVENT_OVERHEAD_BYTES;
    this.#waiters.remove(at);
    this.events--;
    this.charge -= charge;
    if (feed < this.bytes) {
      all.copyWithin(start, feed + 1, this.bytes);
      this.bytes -= feed + 1 - start;
    } else this.bytes = Math.max(0, start - 1);
    this.#used = this.bytes;
    return charge;
  }

  /** Nobody waits any more for an event that has been sent; it is known by who did. */
  forget(settle: Settle): void {
    const at = this.#waiters.placeOf(settle);
    if (at !== -1) this.#waiters.forget(at);
  }

  /**
   * The log has it.
   *
   * @param check the last part of its eventIds, if they are not made of its own message id
   * @param refused those of its events, by their places, that are not in it
   */
  succeed(
    epoch: string,
    seq: number,
    duplicate: boolean,
    check = checkOf(this.identity.messageId),
    refused?: ReadonlyMap<number, PublisherError>,
  ): void {
    const first = formatEventId(epoch, seq, check);
    if (refused === undefined) {
      this.#waiters.settle((place) => ({ eventId: furtherEventId(first, place), duplicate }));
    } else {
      let n = 0;
      const stored = Array.from({ length: this.events }, (_, place) => (refused.has(place) ? n : n++));
      this.#waiters.settle((place) => {
        const error = refused.get(place);
        return error === undefined
          ? { eventId: furtherEventId(first, stored[place] as number), duplicate }
          : new Refusal(error);
      });
      this.refused = refused.size;
    }
    this.settle();
  }

  fail(error: PublisherError): void {
    this.error = error;
    const refusal = new Refusal(error);
    this.#waiters.settle(() => refusal);
    this.settle();
  }

  /**
   * Nothing of it is left to wait for, and it lets go of what it held. A record that was in use for long is an old object to the
   * garbage collector, which finds out late that it is dead: until then all that it points at would be kept, and become old.
   */
  settle(): void {
    const listeners = this.#listeners;
    this.#waiters = NOBODY;
    this.#listeners = NONE;
    this.#buffer = EMPTY;
    this.#full = undefined;
    for (const listener of listeners) listener();
  }

  /** Room for so much more. */
  #extend(bytes: number): void {
    const all = this.bytes + bytes;
    const room = Math.min(CHUNK_BYTES, this.#room);
    if (this.events === 1 && room >= all) {
      // Not from the first one on: most records of a quiet channel have no second event.
      const first = this.#buffer;
      this.#buffer = Buffer.allocUnsafe(room);
      first.copy(this.#buffer, 0, 0, this.#used);
      return;
    }
    if (this.#used > 0) {
      this.#full ??= [];
      this.#full.push(this.#buffer.subarray(0, this.#used));
    }
    // As much again as there is: the first event gets what it needs.
    const more = bytes >= ALONE_BYTES ? bytes : Math.max(bytes, Math.min(CHUNK_BYTES, all));
    this.#buffer = Buffer.allocUnsafe(more);
    this.#used = 0;
  }

  /** All of it in one piece. */
  #joined(): Buffer {
    if (this.#full !== undefined) {
      this.#full.push(this.#buffer.subarray(0, this.#used));
      this.#buffer = Buffer.concat(this.#full, this.bytes);
      this.#used = this.bytes;
      this.#full = undefined;
    }
    return this.#buffer;
  }
}

/** Shared by all that have none; never pushed to. */
const NONE: never[] = [];
/** Shared by all that are settled. */
const NOBODY = new Waiters();

/** The SHA-256 of the types and payloads of a record's lines, base64url. */
function digestOf(lines: string): string {
  const hash = createHash("sha256");
  for (const line of lines.split("\n")) {
    // Neither can be in what stands before: a type has no quotation marks, and nor have a time and a trace.
    hash
      .update(line.slice(0, line.indexOf(',"timestamp":')))
      .update(line.slice(line.indexOf('"payload":')))
      .update("\n");
  }
  return hash.digest("base64url");
}
