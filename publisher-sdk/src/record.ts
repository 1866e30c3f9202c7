import { createHash } from "node:crypto";
import { checkOf, formatEventId, furtherEventId } from "@kata/protocol/wire";
import { PublisherError, type PublisherErrorCode } from "./errors.ts";
import { Lines } from "./lines.ts";
import { type PublishResult, Refusal, type Settle } from "./outcome.ts";
import { Waiters } from "./waiters.ts";

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

/** What an event is counted with beside its line: a line feed, and who waits for it, bytes. */
export const EVENT_OVERHEAD_BYTES = 256;

/** What an event that can be taken back is counted with beside that: the listener on its signal, bytes. */
export const SIGNAL_OVERHEAD_BYTES = 768;

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
  /** How many of them have a signal of their own to be taken back by. */
  signals = 0;
  /** What it counts for in the bounded queue, bytes. */
  charge = 0;
  /** Whether nothing is added to what it holds. */
  whole: boolean;
  /** Whether its turn has come: from then on it is what it is. */
  underWay = false;
  /** When it was first sent, ms since 1970, and how often it was. For whoever measures. */
  sentAt = 0;
  attempts = 0;
  /** Whether it is known what became of it. */
  settled = false;
  /** Whether an earlier process had accepted it: it comes from the spool. */
  recovered = false;
  /** Whether it stays on disk until it is settled: if this process ends before, another sends it. */
  kept = false;
  /** How many of its events are not in it although it was stored. */
  refused = 0;
  /** Why it was not stored, as far as is known; `undefined` if it was, or is not settled. */
  error: PublisherError | undefined;
  /** The one behind it in its lane. */
  next: OutgoingRecord | undefined;
  readonly #lines: Lines;
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
    this.#lines = new Lines(room);
    this.channel = channel;
    this.subject = subject;
    this.identity = identity;
    this.openedAt = now;
    this.earlier = earlier;
    this.whole = identity.publishId !== undefined;
  }

  /** Length of the record, bytes. */
  get bytes(): number {
    return this.#lines.bytes;
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
    this.#digest ??= `${this.events}.${digestOf(this.#lines.joined().toString())}`;
    return this.#digest;
  }

  /** Whether what the log has under its key is taken for what it is; `stored` is the digest there, `undefined` where it is not known. */
  isStoredAs(stored: string | undefined): boolean {
    const { digest } = this;
    if (stored === undefined || digest === undefined) return true;
    // Beyond the one event that a place in the record stands for there would be none.
    return this.identity.compared === true ? stored === digest : stored.startsWith("1.");
  }

  /** Whether it has at most so many bytes with one more line. */
  takes(line: string, bytes: number): boolean {
    return this.#lines.takes(line, bytes);
  }

  /**
   * One more event.
   *
   * @param settle who waits for it; if nobody is given, `result` is to be called next
   */
  add(line: string, deadline: number, timeoutMs: number, settle?: Settle): void {
    this.#lines.add(line);
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

  /**
   * Counts what it holds now.
   *
   * @returns how much more that is than what it counted for before, bytes; less where something was taken out
   */
  count(): number {
    const before = this.charge;
    const lineFeeds = Math.max(0, this.events - 1);
    const waiting = this.events * EVENT_OVERHEAD_BYTES + this.signals * SIGNAL_OVERHEAD_BYTES;
    this.charge = RECORD_OVERHEAD_BYTES + waiting + this.#lines.leastBytes - lineFeeds;
    return this.charge - before;
  }

  /** The bytes to send: the same in every attempt, so nothing is added or taken out after the first. None once it is settled. */
  get data(): Uint8Array {
    return this.#lines.joined();
  }

  /** Nothing is added to it any more: how long it is is known from now on. */
  seal(): void {
    this.#lines.seal();
  }

  /** Calls `listener` when it is known what became of it; the promises of its events are settled in the microtasks after that. */
  onSettled(listener: () => void): void {
    if (this.#listeners === NONE) this.#listeners = [listener];
    else this.#listeners.push(listener);
  }

  /**
   * Takes an event out that has not been sent; it is known by who waits for it.
   *
   * @returns whether it was there (still)
   */
  withdraw(settle: Settle): boolean {
    const at = this.#waiters.placeOf(settle);
    if (at === -1) return false;
    this.#lines.remove(at);
    this.#waiters.remove(at);
    this.events--;
    return true;
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
    if (refused === undefined || refused.size === 0) {
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
   * Each of its events has an outcome of its own, by their places.
   *
   * @param error why not all of it was stored, where that is one reason; if none of it was, the first one's is
   */
  settleEach(outcomes: readonly (PublishResult | Refusal)[], error?: PublisherError): void {
    const refusals = outcomes.filter((outcome) => outcome instanceof Refusal);
    this.refused = refusals.length;
    this.error = error ?? (refusals.length === this.events ? refusals[0]?.error : undefined);
    this.#waiters.settle((place) => outcomes[place] as PublishResult | Refusal);
    this.settle();
  }

  /**
   * It is not tried any more.
   *
   * @param answered whether the log itself said that the last attempt was not stored
   */
  giveUp(code: PublisherErrorCode, why: string, answered = false): void {
    this.fail(new PublisherError(code, why, { stored: this.isAbsent(answered) ? "no" : "unknown" }));
  }

  /**
   * Whether the log has not got it, and will not if it is given up.
   *
   * @param answered whether the log itself said that the last attempt was not stored
   */
  isAbsent(answered = false): boolean {
    if (this.earlier !== undefined) return false;
    return answered ? this.attempts <= 1 : this.attempts === 0 && !this.kept;
  }

  /**
   * Nothing of it is left to wait for, and it lets go of what it held. A record that was in use for long is an old object to the
   * garbage collector, which finds out late that it is dead: until then all that it points at would be kept, and become old.
   */
  settle(): void {
    const listeners = this.#listeners;
    this.settled = true;
    this.#waiters = NOBODY;
    this.#listeners = NONE;
    this.#lines.drop();
    for (const listener of listeners) listener();
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
