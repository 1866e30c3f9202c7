import { formatEventId, ORIGIN_CHECK } from "@kata/protocol/wire";
import { createInbox, type Msg, type MsgHdrs, type NatsConnection, type Subscription } from "@nats-io/transport-node";
import { type Ack, readAck } from "./ack.ts";
import { backoffMs } from "./backoff.ts";
import type { PublisherErrorCode } from "./errors.ts";
import { createFlight, type Flight, mayBeForgotten } from "./flight.ts";
import { LogTail } from "./log-tail.ts";
import type { Settings } from "./options.ts";
import type { OutgoingRecord } from "./record.ts";
import { createRecordHeaders } from "./record-headers.ts";
import { RoundTrips } from "./round-trips.ts";
import type { StoredMessage, StreamFacts, StreamReader } from "./stream-reader.ts";
import { StreamWatch } from "./stream-watch.ts";
import type { Uplink } from "./uplink.ts";

/** Room for the headers in the server's `max_payload`, which counts them, bytes. */
const HEADER_ROOM_BYTES = 1024;

/**
 * How many records are on their way at a time: as many as keep a server busy, which on a long way are more, so many for each
 * millisecond of a round trip.
 */
const IN_FLIGHT = 16;
const IN_FLIGHT_PER_MS = 32;

/**
 * Brings records into the log, each exactly once: every attempt has the same message id and the same bytes, and no
 * record is sent a second time unless the stream has just answered, and where the stream may have forgotten the id,
 * unless the log was asked and does not have it.
 */
export class NatsUplink implements Uplink {
  readonly #nc: NatsConnection;
  readonly #settings: Settings;
  readonly #reader: StreamReader;
  readonly #watch: StreamWatch;
  readonly #ownsConnection: boolean;
  /** Ms since 1970, never set back. */
  readonly #now: () => number;
  readonly #inbox: string;
  readonly #acks: Subscription;
  #maxPayload = Infinity;
  readonly #flights = new Set<Flight>();
  /** Who waits for which acknowledgement. Emptied in doubt: what comes late cannot be paired with an epoch. */
  readonly #byToken = new Map<string, Flight>();
  #tokens = 0;
  readonly #tail = new LogTail();
  readonly #way: RoundTrips;
  readonly #headersOf: (record: OutgoingRecord) => MsgHdrs;

  /** @param closed called if the connection is closed under the publisher's feet */
  constructor(
    nc: NatsConnection,
    settings: Settings,
    reader: StreamReader,
    ownsConnection: boolean,
    now: () => number,
    closed: () => void,
  ) {
    this.#nc = nc;
    this.#settings = settings;
    this.#reader = reader;
    this.#ownsConnection = ownsConnection;
    this.#now = now;
    this.#headersOf = createRecordHeaders(settings.stream, ownsConnection);
    this.#way = new RoundTrips(() => nc.flush());
    this.#inbox = `${createInbox(settings.inboxPrefix)}.`;
    this.#acks = nc.subscribe(`${this.#inbox}*`, {
      callback: (error, msg) => {
        if (error === null) this.#answered(msg);
      },
    });
    this.#watch = new StreamWatch(nc, reader, {
      doubted: () => this.#ground(),
      known: (facts) => this.#adopt(facts),
      refused: (subject) => this.#refused(subject),
      closed,
    });
  }

  /** Why nothing moves, as far as is known. */
  get problem(): string {
    return this.#watch.problem;
  }

  get connected(): boolean {
    return this.#watch.facts !== undefined;
  }

  /** What NATS takes in one message, beside the headers. */
  get maxRecordBytes(): number {
    // Nothing is known of a server while none is connected: records that fill up then are to fit the one that was.
    this.#maxPayload = this.#nc.info?.max_payload ?? this.#maxPayload;
    return this.#maxPayload - HEADER_ROOM_BYTES;
  }

  get maxInFlight(): number {
    return Math.max(IN_FLIGHT, Math.ceil(this.#way.roundTripMs * IN_FLIGHT_PER_MS));
  }

  get newest(): string | undefined {
    const { epoch, knownSeq } = this.#tail;
    return epoch === "" ? undefined : formatEventId(epoch, knownSeq, ORIGIN_CHECK);
  }

  send(record: OutgoingRecord): void {
    const flight = createFlight(record);
    this.#flights.add(flight);
    this.#transmit(flight, this.#now());
  }

  sweep(): void {
    const now = this.#now();
    this.#way.measure();
    for (const flight of this.#flights) {
      if (now >= flight.record.deadline) {
        const { timeoutMs } = flight.record;
        this.#fail(flight, "unavailable", `not acknowledged within ${timeoutMs} ms: ${flight.problem ?? this.problem}`);
      } else if (now >= flight.dueAt) {
        if (flight.state === "ready") this.#transmit(flight, now);
        else if (flight.state === "sent") this.#watch.ask();
      }
    }
  }

  async close(code: PublisherErrorCode, why: string): Promise<void> {
    this.#watch.close();
    if (!this.#nc.isClosed()) this.#acks.unsubscribe();
    for (const flight of this.#flights) this.#fail(flight, code, why);
    if (this.#ownsConnection) await this.#nc.close();
  }

  #transmit(flight: Flight, now: number): void {
    const { facts } = this.#watch;
    if (facts === undefined) return;
    const { record } = flight;
    const { data, earlier } = record;
    if (earlier !== undefined && flight.maybeSince === undefined) {
      flight.maybeSince = earlier.since;
      flight.floorSeq = this.#tail.seqOf(earlier.after);
    }
    const tooLarge = data.length > this.maxRecordBytes;
    if (tooLarge && flight.maybeSince === undefined) return this.#tooLarge(flight);
    // What the server takes no more can have been stored when it did.
    if (tooLarge || mayBeForgotten(flight, facts.duplicateWindowMs, now)) {
      const found = this.#reader.find(record.subject, record.identity.messageId, flight.floorSeq);
      this.#check(flight, found, () => {
        if (tooLarge) return this.#tooLarge(flight);
        flight.maybeSince = now;
        this.#enter(flight, "ready");
        this.#transmit(flight, now);
      });
      return;
    }
    if (flight.maybeSince === undefined) {
      flight.maybeSince = now;
      flight.floorSeq = this.#tail.knownSeq;
    }
    if (flight.state !== "sent") {
      flight.token = (this.#tokens++).toString(36);
      this.#byToken.set(flight.token, flight);
      this.#enter(flight, "sent");
    }
    if (record.attempts++ === 0) record.sentAt = now;
    flight.dueAt = now + this.#settings.ackTimeoutMs;
    try {
      const headers = this.#headersOf(record);
      this.#nc.publish(record.subject, data, { headers, reply: this.#inbox + flight.token });
    } catch (error) {
      // The connection is closed or closing, of which the watch will tell.
      this.#postpone(flight, messageOf(error));
    }
  }

  #answered(msg: Msg): void {
    const token = msg.subject.slice(this.#inbox.length);
    const flight = this.#byToken.get(token);
    // An answer to an attempt that was given up, or a second one.
    if (flight === undefined) return;
    const ack = readAck(msg, this.#settings.stream);
    if (ack.kind === "stored") this.#stored(flight, ack);
    else if (ack.kind === "refused") this.#fail(flight, ack.code, ack.why, true);
    else if (ack.kind === "later") this.#postpone(flight, ack.why);
    else {
      const why = `nobody takes ${flight.record.subject}: no stream ${this.#settings.stream}, or no leader now`;
      this.#postpone(flight, why);
      this.#watch.doubt(why);
    }
  }

  #stored(flight: Flight, ack: Ack & { kind: "stored" }): void {
    if (ack.duplicate) {
      // Of an ordinary record only we know the id: it was our own attempt. With a key it may have been anybody.
      if (flight.record.keyed) {
        this.#verify(flight, ack.seq);
        return;
      }
    } else if (ack.seq <= flight.floorSeq || !this.#tail.acknowledge(ack.seq)) {
      this.#watch.doubt("the stream's sequence went backwards");
      return;
    }
    this.#succeed(flight, ack.seq, false);
  }

  /**
   * Looks at the message that has a key's id already. JetStream compares nothing but ids: taking its word, whoever has
   * learnt the secret could make an event disappear by using its id first, on another subject.
   */
  #verify(flight: Flight, seq: number): void {
    const { subject, identity } = flight.record;
    const found = this.#reader.at(seq, subject, identity.messageId).then((message) =>
      // It has been trimmed since: JetStream's word is all there is.
      message === "gone" ? { seq, publishId: undefined, digest: undefined } : message,
    );
    this.#check(flight, found, () => this.#taken(flight));
  }

  #tooLarge(flight: Flight): void {
    const { length } = flight.record.data;
    const why = `${length} bytes are more than the NATS server takes (max_payload ${this.#nc.info?.max_payload})`;
    this.#fail(flight, "too_large", why);
  }

  #taken(flight: Flight): void {
    const why = "the log holds something else under the id of this idempotency key: publish with another key";
    this.#fail(flight, "key_taken", why, true);
  }

  /** Settles the record by the message that the log has, or goes on if it has none. */
  #check(flight: Flight, asked: Promise<StoredMessage | undefined>, missing: () => void): void {
    const version = this.#enter(flight, "checking");
    asked.then(
      (message) => {
        if (version !== flight.version) return;
        if (message === undefined) {
          missing();
          return;
        }
        if (!flight.record.isStoredAs(message.digest)) {
          this.#taken(flight);
          return;
        }
        const { publishId } = flight.record.identity;
        const ours = publishId === undefined || message.publishId === publishId;
        this.#succeed(flight, message.seq, !ours);
      },
      (error) => {
        if (version === flight.version) this.#postpone(flight, messageOf(error));
      },
    );
  }

  /** To be sent again after a while. */
  #postpone(flight: Flight, problem: string): void {
    this.#enter(flight, "ready");
    flight.problem = problem;
    flight.dueAt = this.#now() + backoffMs(flight.failures++);
  }

  #enter(flight: Flight, state: Flight["state"]): number {
    if (flight.state === "sent") this.#byToken.delete(flight.token);
    flight.state = state;
    return ++flight.version;
  }

  /** In doubt about the stream: everything that is on its way will be sent once more when it is known. */
  #ground(): void {
    this.#byToken.clear();
    for (const flight of this.#flights) {
      if (flight.state === "ready") continue;
      this.#enter(flight, "ready");
      flight.dueAt = 0;
    }
  }

  #adopt(facts: StreamFacts): void {
    const anew = this.#tail.adopt(facts);
    if (anew) this.#ground();
    const now = this.#now();
    for (const flight of this.#flights) {
      flight.floorSeq = anew ? 0 : Math.min(flight.floorSeq, facts.lastSeq);
      if (flight.state !== "checking" && now >= flight.dueAt) this.#transmit(flight, now);
    }
  }

  #refused(subject: string): void {
    // What moves up meanwhile has an answer of its own.
    for (const flight of [...this.#flights]) {
      if (flight.record.subject === subject && flight.state === "sent") {
        this.#fail(flight, "forbidden", `NATS refuses this publisher ${subject}`, true);
      }
    }
  }

  #succeed(flight: Flight, seq: number, duplicate: boolean): void {
    this.#leave(flight);
    flight.record.succeed(this.#tail.epoch, seq, duplicate);
  }

  /** @param answered whether the server itself said that its last attempt was not stored */
  #fail(flight: Flight, code: PublisherErrorCode, why: string, answered = false): void {
    this.#leave(flight);
    flight.record.giveUp(code, why, answered);
  }

  #leave(flight: Flight): void {
    this.#enter(flight, "ready");
    this.#flights.delete(flight);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
