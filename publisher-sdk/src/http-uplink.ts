import { parseEventId } from "@kata/protocol/wire";
import { backoffMs } from "./backoff.ts";
import { brokerErrorOf } from "./broker-error.ts";
import { type BrokerHttp, type HttpAnswer, NoAnswerError } from "./broker-http.ts";
import { PublisherError, type PublisherErrorCode } from "./errors.ts";
import { Refusal } from "./outcome.ts";
import { type Answer, FINAL, refusedOf } from "./publish-answer.ts";
import { publishHeaders } from "./publish-headers.ts";
import type { OutgoingRecord } from "./record.ts";
import type { RecordBound } from "./record-bound.ts";
import { nextPart, takeApart } from "./take-apart.ts";
import type { Uplink } from "./uplink.ts";

/** Upper bound of a record over HTTP, which has to be one record at the broker, too, bytes. */
export const HTTP_RECORD_BYTES = 512 * 1024;

/** An attempt that had no answer in time gets twice the time; at most so much, unless it is given more. */
const MAX_ATTEMPT_MS = 120_000;

/** A gateway's word makes a channel wait for no longer than this: its page for maintenance may say a day, and be gone in a minute. */
const MAX_GATEWAY_RETRY_MS = 60_000;

export interface HttpUplinkOptions {
  readonly connections: number;
  readonly attemptTimeoutMs: number;
  /** Ms since 1970, never set back. */
  now(): number;
  /** Whether a key that is not valid (any more) is waited for: what a spool keeps outlives the rotation of a key. */
  readonly patient: boolean;
  /** Told what is too large for the way. */
  readonly bound: RecordBound;
}

/** A record that no broker has acknowledged yet. Times are ms since 1970. */
interface Flight {
  readonly record: OutgoingRecord;
  state: "ready" | "sent";
  dueAt: number;
  failures: number;
  /** How many attempts in a row had no answer in their time: on a slow way a large body takes longer than that, each time anew. */
  silent: number;
  problem: string | undefined;
  /** Whether a broker has answered that it cannot be stored now: while it rests, another channel has its turn. */
  rests: boolean;
  /** The newest eventId that was known when it was first sent. */
  after: string | undefined;
  /** Ends the request that is on its way, where it is given up meanwhile. */
  readonly over: AbortController;
  /** Whether it is a part of the record that was to be sent. */
  readonly isPart: boolean;
}

/** What a part of a record can be refused for while the parts behind it are still sent. */
const ALONE: ReadonlySet<PublisherErrorCode> = new Set(["too_large", "invalid_event", "rejected"]);

/**
 * Brings records into the log through a broker, each exactly once: every attempt is the same body under the same
 * idempotency key, and says since when there have been attempts, so that the broker looks into the log where the stream
 * may have forgotten the key.
 */
export class HttpUplink implements Uplink {
  readonly maxRecordBytes = HTTP_RECORD_BYTES;
  readonly #http: BrokerHttp;
  readonly #connections: number;
  readonly #attemptTimeoutMs: number;
  readonly #patient: boolean;
  /** Ms since 1970, never set back. */
  readonly #now: () => number;
  readonly #bound: RecordBound;
  readonly #flights = new Set<Flight>();
  #inFlight = 0;
  #resting = 0;
  /** What flights have learnt of the way: those behind them need not learn it anew. */
  #silent = 0;
  #problem = "the broker has not answered yet";
  #connected = true;
  #newest: string | undefined;
  #closed = false;

  constructor(http: BrokerHttp, options: HttpUplinkOptions) {
    this.#http = http;
    this.#patient = options.patient;
    this.#connections = options.connections;
    this.#attemptTimeoutMs = options.attemptTimeoutMs;
    this.#now = options.now;
    this.#bound = options.bound;
  }

  /** What rests has no connection. */
  get maxInFlight(): number {
    return this.#connections + this.#resting;
  }

  get problem(): string {
    return this.#problem;
  }

  get connected(): boolean {
    return this.#connected;
  }

  get newest(): string | undefined {
    return this.#newest;
  }

  send(record: OutgoingRecord): void {
    this.#add(record, false);
  }

  #add(record: OutgoingRecord, isPart: boolean): void {
    const flight: Flight = {
      record,
      state: "ready",
      dueAt: 0,
      failures: 0,
      silent: 0,
      problem: undefined,
      rests: false,
      after: undefined,
      over: new AbortController(),
      isPart,
    };
    this.#flights.add(flight);
    this.#next();
  }

  sweep(): void {
    const now = this.#now();
    for (const flight of this.#flights) {
      if (now < flight.record.deadline) continue;
      const { timeoutMs } = flight.record;
      this.#fail(flight, "unavailable", `not acknowledged within ${timeoutMs} ms: ${flight.problem ?? this.#problem}`);
    }
    this.#next();
  }

  async close(code: PublisherErrorCode, why: string): Promise<void> {
    this.#closed = true;
    for (const flight of this.#flights) this.#fail(flight, code, why);
    this.#http.close();
  }

  /** Sends what is due, in the order in which it came, over as many connections as there may be. */
  #next(): void {
    if (this.#inFlight >= this.#connections || this.#closed) return;
    const now = this.#now();
    for (const flight of this.#flights) {
      if (flight.state !== "ready" || now < flight.dueAt) continue;
      void this.#transmit(flight, now);
      if (this.#inFlight >= this.#connections) return;
    }
  }

  async #transmit(flight: Flight, now: number): Promise<void> {
    const { record } = flight;
    flight.state = "sent";
    this.#rest(flight, false);
    this.#inFlight++;
    if (record.attempts++ === 0) {
      record.sentAt = now;
      flight.after = record.earlier === undefined ? this.#newest : record.earlier.after;
    }
    try {
      const at = this.#now();
      const answer = await this.#http.ask({
        method: "POST",
        path: `/v1/channels/${record.channel}/events`,
        headers: publishHeaders(record, flight.after, now),
        body: record.data,
        timeoutMs: this.#timeoutOf(flight),
        signal: flight.over.signal,
      });
      flight.silent = 0;
      if (this.#silent > 0 && this.#now() - at < this.#attemptTimeoutMs) this.#silent--;
      if (this.#flights.has(flight)) this.#answered(flight, answer);
    } catch (error) {
      // It was given up: that says nothing of the way.
      if (!this.#flights.has(flight)) return;
      if (error instanceof NoAnswerError) this.#silent = Math.max(this.#silent, ++flight.silent);
      this.#connected = false;
      this.#problem = error instanceof Error ? error.message : String(error);
      this.#postpone(flight, this.#problem);
    } finally {
      this.#inFlight--;
      this.#next();
    }
  }

  #timeoutOf({ silent }: Flight): number {
    const base = this.#attemptTimeoutMs;
    return Math.max(base, Math.min(MAX_ATTEMPT_MS, base * 2 ** Math.max(silent, this.#silent)));
  }

  #answered(flight: Flight, { status, body, retryAfterMs = 0 }: HttpAnswer): void {
    const answer = (typeof body === "object" && body !== null ? body : {}) as Answer;
    // All of it can have been stored although its key was revoked meanwhile.
    const whole = Number(answer.published) + Number(answer.failed) === flight.record.events;
    if ((status === 201 || status === 207 || whole) && this.#stored(flight, answer)) return;
    const error = brokerErrorOf({ status, body });
    const why = `the broker at ${this.#http.name} answered ${status}${error === undefined ? "" : `: ${error.message}`}`;
    const code = FINAL.get(error?.code);
    if (error === undefined && status === 413) return this.#tooLarge(flight, why);
    if (code === "key_taken" && !flight.record.keyed) return this.#taken(flight);
    if ((status === 207 || code !== undefined) && this.#refused(flight, answer)) return;
    if (code !== undefined && !(this.#patient && code === "unauthenticated")) {
      // What ended a stream says nothing of the events that were on their way.
      const ended = answer.published !== undefined && answer.failed !== flight.record.events;
      this.#fail(flight, code, why, !ended);
      return;
    }
    this.#problem = why;
    // [LIMIT-1] A broker knows when it has room again, and is not asked before.
    this.#postpone(flight, why, error === undefined ? Math.min(retryAfterMs, MAX_GATEWAY_RETRY_MS) : retryAfterMs);
    this.#rest(flight, true);
  }

  /** Settles the record by a broker's answer. Returns whether it is one. */
  #stored(flight: Flight, answer: Answer): boolean {
    const { record } = flight;
    const single = answer.results?.[0];
    const first = answer.first ?? single?.eventId;
    const at = parseEventId(first);
    if (at === undefined || typeof first !== "string") return false;
    const refused = refusedOf(answer, "no");
    const published = answer.published ?? answer.results?.length;
    if (published !== record.events - refused.size) return false;
    this.#connected = true;
    this.#problem = "the broker does not acknowledge";
    this.#newest = first;
    this.#leave(flight);
    const duplicate = single?.duplicate ?? answer.duplicates !== 0;
    record.succeed(at.epoch, at.seq, duplicate === true, at.check, refused);
    return true;
  }

  /** Settles the record by an answer that refuses each of its events, perhaps for several reasons. Returns whether it is one. */
  #refused(flight: Flight, answer: Answer): boolean {
    const { record } = flight;
    if (answer.published !== 0 || answer.failed !== record.events) return false;
    const refused = refusedOf(answer, record.isAbsent(true) ? "no" : "unknown");
    const outcomes: Refusal[] = [];
    for (let place = 0; place < record.events; place++) {
      const error = refused.get(place);
      if (error === undefined) return false;
      outcomes.push(new Refusal(error));
    }
    this.#leave(flight);
    record.settleEach(outcomes);
    return true;
  }

  /** Something in between takes less at a time than a broker. */
  #tooLarge(flight: Flight, why: string): void {
    const { record } = flight;
    this.#bound.tooLarge(record.bytes);
    if (isDivisible(flight)) return this.#takeApart(flight);
    const advice = `something in between takes no ${record.bytes} bytes: have its limit raised, or publish less at a time`;
    this.#fail(flight, "too_large", `${why}: ${advice}`);
  }

  /** Nobody else has the id of a record without a key: another part of it is in the log, or all of it. */
  #taken(flight: Flight): void {
    if (isDivisible(flight)) return this.#takeApart(flight);
    const why =
      "something in between refused the record as too large, and the log has it, or parts of it, all the same";
    this.#fail(flight, "rejected", why);
  }

  /** Sends a record in parts, each when the one before it is settled, and settles it when all of them are. */
  #takeApart(flight: Flight): void {
    const { record, after } = flight;
    this.#leave(flight);
    const parts = takeApart(record, { since: record.earlier?.since ?? record.sentAt, after });
    const { outcomes } = parts;
    const send = (): void => {
      const part = nextPart(record, parts);
      if (part === undefined) return record.settleEach(outcomes);
      part.onSettled(() => {
        const { error } = part;
        if (error === undefined) parts.rooted = true;
        if (error === undefined || ALONE.has(error.code)) return send();
        // What stopped it stops those behind it, which this process has not sent.
        const absent = parts.rooted && record.earlier === undefined && !record.kept;
        const { code, message } = error;
        const rest = new Refusal(new PublisherError(code, message, { stored: absent ? "no" : "unknown" }));
        while (outcomes.length < record.events) outcomes.push(rest);
        record.settleEach(outcomes, error);
      });
      this.#add(part, true);
    };
    send();
  }

  #postpone(flight: Flight, problem: string, afterMs = 0): void {
    flight.state = "ready";
    flight.problem = problem;
    const pauseMs = Math.max(afterMs, backoffMs(flight.failures++));
    flight.dueAt = this.#now() + pauseMs;
    // The publisher's sweep is too coarse for the first attempts after a short cut.
    if (pauseMs < 250) setTimeout(() => this.#next(), pauseMs + 1);
  }

  #rest(flight: Flight, rests: boolean): void {
    if (flight.rests === rests) return;
    flight.rests = rests;
    this.#resting += rests ? 1 : -1;
  }

  #leave(flight: Flight): void {
    this.#rest(flight, false);
    this.#flights.delete(flight);
  }

  /** @param answered whether the broker itself said that its last attempt was not stored */
  #fail(flight: Flight, code: PublisherErrorCode, why: string, answered = false): void {
    this.#leave(flight);
    // Its connection is the next one's, which may have less time than it took until there is no answer.
    flight.over.abort();
    flight.record.giveUp(code, why, answered);
  }
}

/** What has a key is one record under it. */
function isDivisible({ record, isPart }: Flight): boolean {
  return !record.keyed && record.events > 1 && !isPart;
}
