import { setTimeout as delay } from "node:timers/promises";
import { type EndReason, MAX_RECORD_BYTES } from "@kata/protocol/wire";
import { onAbort } from "./aborts.ts";
import { drainOnExit } from "./drain-on-exit.ts";
import { PublisherError, type PublisherErrorCode, withUnknown } from "./errors.ts";
import type { EventInput } from "./event.ts";
import { streamEnded } from "./events.ts";
import { Intake } from "./intake.ts";
import { type AwaitedEvent, Lane, type LaneEvent, type LanePort } from "./lane.ts";
import { Lanes } from "./lanes.ts";
import { mostBytes } from "./lines.ts";
import { createMessageIds, idempotentMessageId } from "./message-id.ts";
import type { Settings } from "./options.ts";
import { type PublishOutcome, type PublishResult, Refusal, type Settle } from "./outcome.ts";
import { type PipePort, pipe, type Source } from "./pipe.ts";
import type { PipeOptions, PipeResult, PublisherStats, PublishManyOptions, PublishOptions } from "./publish-options.ts";
import type { Publisher } from "./publisher.ts";
import { QueueBound } from "./queue-bound.ts";
import {
  EVENT_OVERHEAD_BYTES,
  type OutgoingRecord,
  RECORD_OVERHEAD_BYTES,
  type RecordIdentity,
  SIGNAL_OVERHEAD_BYTES,
} from "./record.ts";
import { reportRecord } from "./record-report.ts";
import { keptInSpool, Spool } from "./spool.ts";
import type { SpooledRecord } from "./spool-left.ts";
import type { OpenedSpool } from "./spool-store.ts";
import type { SteadyClock } from "./steady-clock.ts";
import { subjectFor } from "./subject.ts";
import { Turns } from "./turns.ts";
import { type OneRecord, type UnderOneKey, underOneKey } from "./under-one-key.ts";
import type { Uplink, UplinkListener } from "./uplink.ts";
import { waitForAll, waitForEach, waitForOne } from "./waiting.ts";

const NO_OPTIONS: PublishManyOptions = {};

/** Takes events, checks them, and leads each through its channel's lane to the uplink. */
export class QueuedPublisher implements Publisher {
  readonly #settings: Settings;
  readonly #uplink: Uplink;
  readonly #intake: Intake;
  readonly #nextMessageId = createMessageIds();
  readonly #clock: SteadyClock;
  readonly #lanes: Lanes;
  /** Lanes that were idle when they got their first event of this tick. */
  #woken: Lane[] = [];
  readonly #queue: QueueBound;
  #published = 0;
  #failed = 0;
  #retries = 0;
  /** Who is told when nothing is taken any more. */
  readonly #pipes = new Set<() => void>();
  #sweeper: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;
  readonly #turns = new Turns(() => this.#uplink.maxInFlight);
  readonly #port: LanePort;
  readonly #oneRecord: OneRecord;
  readonly #stopDraining: (() => void) | undefined;
  readonly #spool: Spool | undefined;

  /**
   * @param connect makes the uplink
   * @param opened what was left in it is sent first
   */
  constructor(
    settings: Settings,
    clock: SteadyClock,
    connect: (listener: UplinkListener) => Uplink,
    opened?: OpenedSpool,
  ) {
    this.#settings = settings;
    this.#clock = clock;
    this.#intake = new Intake(settings, clock, () => Math.min(settings.maxEventBytes, this.#uplink.maxRecordBytes));
    this.#queue = new QueueBound(settings.maxQueueBytes, () => this.#uplink.problem);
    this.#uplink = connect({
      ready: () => this.#turns.call(),
      // Whoever closes the publisher is told what became of the spool.
      closed: () => void this.#end("closed", "the connection to NATS was closed").catch(() => undefined),
    });
    this.#port = {
      now: this.#clock.now,
      recordBytes: () => Math.min(settings.maxRecordBytes, this.#uplink.maxRecordBytes),
      recordEvents: settings.maxRecordEvents,
      identify: (subject, key) => {
        if (key === undefined) return { messageId: this.#nextMessageId() };
        return this.#identify(subject, key, this.#nextMessageId());
      },
      takeTurn: (lane) => this.#turns.take(lane),
      giveTurn: () => this.#turns.give(),
      complete: (record) => this.#queue.add(record.count(), 0),
      send: (record) => {
        if (this.#spool === undefined) this.#uplink.send(record);
        else this.#spool.send(record);
      },
      settled: (lane, record) => this.#settled(lane, record),
      late: (record) => this.#late(record),
    };
    this.#lanes = new Lanes((channel) => new Lane(channel, subjectFor(channel, settings.teamId), this.#port));
    this.#oneRecord = {
      maxEvents: settings.maxRecordEvents,
      maxBytes: () => Math.min(MAX_RECORD_BYTES, this.#uplink.maxRecordBytes),
      now: this.#clock.now,
      nextPublishId: this.#nextMessageId,
    };
    this.#stopDraining = settings.drainOnExit ? drainOnExit(this) : undefined;
    if (opened === undefined) return;
    this.#spool = new Spool(opened.spool, {
      now: clock.now,
      newest: () => this.#uplink.newest,
      closed: () => this.#closed,
      send: (record) => this.#uplink.send(record),
    });
    this.#recover(opened.left);
  }

  get stats(): PublisherStats {
    return {
      connected: this.#uplink.connected && !this.#closed,
      queuedEvents: this.#queue.events,
      queuedBytes: this.#queue.bytes,
      channels: this.#lanes.busy,
      published: this.#published,
      failed: this.#failed,
      retries: this.#retries,
    };
  }

  publish(channel: string, event: EventInput, options: PublishOptions = NO_OPTIONS): Promise<PublishResult> {
    try {
      return this.#accept(channel, event, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  publishMany(
    channel: string,
    events: readonly EventInput[],
    options: PublishManyOptions = NO_OPTIONS,
  ): Promise<PublishResult[]> {
    return new Promise((resolve, reject) => {
      const settle = waitForAll(events.length, resolve, reject);
      this.#acceptMany(channel, events, options, () => settle);
      if (events.length === 0) resolve([]);
    });
  }

  publishEach(
    channel: string,
    events: readonly EventInput[],
    options: PublishManyOptions = NO_OPTIONS,
  ): Promise<PublishOutcome[]> {
    return new Promise((resolve) => {
      this.#acceptMany(channel, events, options, waitForEach(events.length, resolve));
      if (events.length === 0) resolve([]);
    });
  }

  pipe(source: Source<EventInput>, options: PipeOptions = {}): Promise<PipeResult> {
    const port: PipePort = {
      publish: (channel, event, how) => this.#accept(channel, event, how),
      maxWindowBytes: this.#settings.maxQueueBytes / 2,
      isOver: (bytes) => this.#queue.bytes > bytes,
      room: (bytes) => this.#queue.room(bytes),
      onClosed: (listener) => {
        this.#pipes.add(listener);
        return () => void this.#pipes.delete(listener);
      },
    };
    return pipe(port, source, options);
  }

  end(channel: string, options: { readonly reason: EndReason } & PublishOptions): Promise<PublishResult> {
    const { reason, ...how } = options ?? {};
    if (typeof reason !== "string" || reason === "") {
      return Promise.reject(new PublisherError("invalid_event", "a reason is a string that is not empty"));
    }
    return this.publish(channel, streamEnded({ reason }), how);
  }

  async spooled(): Promise<void> {
    if (this.#spool === undefined) throw new TypeError("this publisher has no spool: give createPublisher one");
    await this.#spool.commit();
  }

  async flush(): Promise<void> {
    const settled: Promise<void>[] = [];
    for (const lane of this.#lanes) settled.push(lane.settled());
    await Promise.all(settled);
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = this.#close();
      for (const tell of this.#pipes) tell();
    }
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @throws PublisherError, TypeError for what is not accepted */
  #accept(channel: string, event: EventInput, options: PublishOptions): Promise<PublishResult> {
    const timeoutMs = this.#intake.timeoutOf(options);
    const wall = this.#wall();
    const line = this.#intake.lineOf(event, wall);
    const lane = this.#lane(channel);
    const now = this.#intake.startOf(options, wall);
    const opens = lane.opens(line, timeoutMs, event.idempotencyKey, now);
    const { signal } = options;
    let overhead = EVENT_OVERHEAD_BYTES;
    if (opens) overhead += RECORD_OVERHEAD_BYTES;
    if (signal !== undefined) overhead += SIGNAL_OVERHEAD_BYTES;
    // It is measured where it matters.
    if (!this.#queue.hasRoom(overhead + mostBytes(line))) this.#queue.admit(overhead + Buffer.byteLength(line));
    if (signal === undefined) return this.#push(lane, { line, timeoutMs }, event.idempotencyKey, now).result();
    return new Promise((resolve, reject) => {
      const settle = waitForOne(resolve, reject);
      this.#pushUntil(signal, lane, { line, timeoutMs, settle }, event.idempotencyKey, now);
    });
  }

  /**
   * All of them or none.
   *
   * @param waiterOf who waits for the event at a place
   * @throws PublisherError, TypeError for what is not accepted
   */
  #acceptMany(
    channel: string,
    events: readonly EventInput[],
    options: PublishManyOptions,
    waiterOf: (i: number) => Settle,
  ): void {
    const timeoutMs = this.#intake.timeoutOf(options);
    const wall = this.#wall();
    const lines = events.map((event) => this.#intake.lineOf(event, wall));
    const now = this.#intake.startOf(options, wall);
    let most = 0;
    let keyed = 0;
    for (const [i, line] of lines.entries()) {
      most += mostBytes(line);
      if (events[i]?.idempotencyKey !== undefined) keyed++;
    }
    const together = underOneKey(events, lines, options, this.#oneRecord);
    const { signal } = options;
    const records = together === undefined ? this.#recordsOf(lines.length - keyed, most) + keyed : 1;
    let overhead = records * RECORD_OVERHEAD_BYTES + lines.length * EVENT_OVERHEAD_BYTES;
    if (signal !== undefined && together === undefined) overhead += lines.length * SIGNAL_OVERHEAD_BYTES;
    const lane = this.#lane(channel);
    if (lines.length === 0) return;
    if (!this.#queue.hasRoom(overhead + most)) {
      this.#queue.admit(lines.reduce((sum, line) => sum + Buffer.byteLength(line), overhead));
    }
    const all = lines.map((line, i): AwaitedEvent => ({ line, timeoutMs, settle: waiterOf(i) }));
    if (together !== undefined) {
      this.#pushTogether(lane, all, together, signal);
      return;
    }
    for (const [i, event] of all.entries()) {
      if (signal === undefined) this.#push(lane, event, events[i]?.idempotencyKey, now);
      else this.#pushUntil(signal, lane, event, events[i]?.idempotencyKey, now);
    }
  }

  /** How many records so many events with so many bytes fill, about. */
  #recordsOf(events: number, bytes: number): number {
    return Math.ceil(events / this.#settings.maxRecordEvents) + Math.floor(bytes / this.#port.recordBytes());
  }

  /** The time of day. If it was set back while nothing was on its way, that is noticed first. */
  #wall(): number {
    if (this.#sweeper === undefined) this.#clock.check();
    return this.#clock.wall();
  }

  #identify(subject: string, key: string, publishId: string): RecordIdentity {
    return { messageId: idempotentMessageId(subject, key, this.#settings.idempotencySecret), publishId, key };
  }

  /**
   * The lane of a channel.
   *
   * @throws PublisherError `invalid_channel`, `forbidden`, `closed`
   */
  #lane(channel: string): Lane {
    if (this.#closed || this.#closing !== undefined) throw new PublisherError("closed", "the publisher is closed");
    return this.#lanes.of(channel);
  }

  #push(lane: Lane, event: LaneEvent, key: string | undefined, now: number): OutgoingRecord {
    this.#enter(lane);
    const record = lane.push(event, key, now);
    this.#queue.add(record.count(), 1);
    this.#spool?.add(record, event.line);
    return record;
  }

  /** The same for an event that can be taken back. */
  #pushUntil(signal: AbortSignal, lane: Lane, event: AwaitedEvent, key: string | undefined, now: number): void {
    let stop = (): void => undefined;
    // The event itself, with its line, is not kept.
    const { settle: settleIt } = event;
    const settle: Settle = (outcome) => {
      stop();
      settleIt(outcome);
    };
    const record = this.#push(lane, { ...event, settle }, key, now);
    record.signals++;
    this.#queue.add(record.count(), 0);
    stop = onAbort(signal, () => {
      if (!this.#takeBack(lane, record, settle)) return;
      record.signals--;
      this.#queue.remove(-record.count(), 0);
    });
  }

  #pushTogether(
    lane: Lane,
    events: readonly AwaitedEvent[],
    { key, compared, publishId, earlier }: UnderOneKey,
    signal: AbortSignal | undefined,
  ): void {
    const identity = { ...this.#identify(lane.subject, key, publishId), compared };
    this.#enter(lane);
    const record = lane.pushTogether(events, identity, earlier);
    this.#queue.add(record.count(), events.length);
    for (const { line } of events) this.#spool?.add(record, line);
    if (signal === undefined) return;
    const settles = events.map(({ settle }) => settle);
    const stop = onAbort(signal, () => {
      for (const settle of settles) this.#takeBack(lane, record, settle);
    });
    record.onSettled(stop);
  }

  /** Before something is put into a lane. */
  #enter(lane: Lane): void {
    if (lane.tail !== undefined) return;
    this.#lanes.enter(lane);
    this.#wake(lane);
  }

  /** Returns whether the event is not in the record any more. */
  #takeBack(lane: Lane, record: OutgoingRecord, settle: Settle): boolean {
    // Who waits is about to be told.
    if (record.settled) return false;
    // What a spool keeps may be on disk already, and goes out.
    if (record.underWay || this.#spool !== undefined) {
      record.forget(settle);
      const why = "aborted, too late to take the event back";
      settle(new Refusal(new PublisherError("aborted", why, { stored: "unknown" })));
      return false;
    }
    if (!record.withdraw(settle)) return false;
    this.#queue.remove(-record.count(), 1);
    const stored = record.isAbsent() ? "no" : "unknown";
    settle(new Refusal(new PublisherError("aborted", "the event was taken back before it was sent", { stored })));
    // Not at once: what is behind it may be about to be taken back, too.
    if (record.events === 0) queueMicrotask(() => lane.advance());
    return true;
  }

  /** Takes over what an earlier process left. Only the first record of a channel can have been sent. */
  #recover(left: readonly SpooledRecord[]): void {
    for (const { channel, lines, after, openedAt, ...identity } of left) {
      const lane = this.#lanes.of(channel);
      // Nothing is believed of clocks between two processes: it is looked for in the log, whenever it was.
      const earlier = lane.tail === undefined ? { since: 0, after } : undefined;
      this.#enter(lane);
      const events = lines.map((line): AwaitedEvent => ({ line, timeoutMs: Infinity, settle: ignore }));
      const record = lane.pushTogether(events, identity, earlier, openedAt);
      record.kept = true;
      this.#queue.add(record.count(), events.length);
    }
  }

  #late(record: OutgoingRecord): PublisherError {
    // What a spool keeps is sent after all if the process ends before it is gone from the disk.
    const stored = record.isAbsent() ? "no" : "unknown";
    const why = `not sent within ${record.timeoutMs} ms: ${this.#uplink.problem}`;
    return new PublisherError("unavailable", why, { stored });
  }

  #settled(lane: Lane, record: OutgoingRecord): void {
    const { events, refused, error, attempts } = record;
    if (error?.code !== "spooled") this.#spool?.remove(record);
    const lost = error !== undefined && error.code !== "spooled";
    if (lost && record.recovered && this.#settings.onRecord === undefined) {
      process.emitWarning(
        `${events} events of ${record.channel} from the spool are lost: ${error.message}`,
        "KataPublisher",
      );
    }
    const failed = error === undefined ? refused : events;
    this.#failed += failed;
    this.#published += events - failed;
    if (attempts > 1) this.#retries += attempts - 1;
    const { onRecord } = this.#settings;
    if (onRecord !== undefined && events > 0) reportRecord(onRecord, record, this.#clock.now());
    this.#queue.remove(record.charge, events);
    lane.advance();
    if (lane.tail === undefined) {
      this.#lanes.leave(lane);
      this.#turns.forget(lane);
    }
    this.#turns.call();
  }

  /** An idle lane sends at the end of the tick: what is published in one go travels in one record. */
  #wake(lane: Lane): void {
    this.#woken.push(lane);
    if (this.#woken.length > 1) return;
    queueMicrotask(() => {
      const woken = this.#woken;
      this.#woken = [];
      for (const each of woken) each.advance();
    });
    if (this.#sweeper !== undefined) return;
    this.#sweeper = setInterval(() => this.#sweep(), sweepMs(this.#settings));
  }

  #sweep(): void {
    if (this.#lanes.busy === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
      return;
    }
    this.#clock.check();
    this.#uplink.sweep();
    // More may be on their way than when they asked.
    this.#turns.call();
    for (const lane of this.#lanes) lane.expire();
  }

  async #close(): Promise<void> {
    const { closeTimeoutMs } = this.#settings;
    const timer = new AbortController();
    await Promise.race([this.flush(), delay(closeTimeoutMs, undefined, { signal: timer.signal }).catch(() => {})]);
    timer.abort();
    const left = this.#queue.events;
    const { problem } = this.#uplink;
    await this.#end("unavailable", `the publisher was closed: ${problem}`);
    if (left === 0) return;
    const why = `${left} events not acknowledged within ${closeTimeoutMs} ms: ${problem}`;
    if (this.#spool === undefined) throw new PublisherError("unavailable", why, { stored: "unknown" });
    throw new PublisherError("spooled", `${why}: they are kept in the spool`, { stored: "unknown" });
  }

  /** Rejects all that is left: what was never sent first, so that nothing moves up. */
  async #end(code: PublisherErrorCode, why: string): Promise<void> {
    this.#closed = true;
    for (const tell of this.#pipes) tell();
    this.#stopDraining?.();
    clearInterval(this.#sweeper);
    const left = this.#spool === undefined ? new PublisherError(code, why) : keptInSpool();
    // Without a spool at once: nothing may move up meanwhile.
    const leftOf =
      this.#spool === undefined
        ? (record: OutgoingRecord) => (record.isAbsent() ? left : withUnknown(left))
        : await this.#spool.ending();
    for (const lane of this.#lanes) lane.abandon(leftOf);
    // What is on its way was on disk before.
    await this.#uplink.close(left.code, left.message);
    await this.#spool?.close();
  }
}

function ignore(): void {}

/** Often enough that a publisher's own timeouts are late by no more than a quarter, or 10 ms; milliseconds. */
function sweepMs({ ackTimeoutMs, publishTimeoutMs }: Settings): number {
  return Math.max(10, Math.min(250, ackTimeoutMs / 4, publishTimeoutMs / 4));
}
