import { setTimeout as delay } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/transport-node";
import { PublisherError, type PublisherErrorCode } from "./errors.ts";
import { type EventInput, encodeLine } from "./event.ts";
import { Lane, type LanePort } from "./lane.ts";
import { createMessageIds, idempotentMessageId } from "./message-id.ts";
import type { Settings } from "./options.ts";
import type { Publisher } from "./publisher.ts";
import { EVENT_OVERHEAD_BYTES, type PublishResult } from "./record.ts";
import type { StreamReader } from "./stream-reader.ts";
import { subjectFor } from "./subject.ts";
import { HEADER_ROOM_BYTES, Uplink } from "./uplink.ts";

type Resolve = (result: PublishResult) => void;
type Reject = (error: PublisherError) => void;

/** Takes events, checks them, and leads each through its channel's lane to the uplink. */
export class NatsPublisher implements Publisher {
  readonly #nc: NatsConnection;
  readonly #settings: Settings;
  readonly #ownsConnection: boolean;
  readonly #uplink: Uplink;
  readonly #nextMessageId = createMessageIds();
  /** By channel; only lanes with something in them. */
  readonly #lanes = new Map<string, Lane>();
  /** Lanes that were idle when they got their first event of this tick. */
  #woken: Lane[] = [];
  #queueBytes = 0;
  #events = 0;
  #sweeper: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;
  readonly #port: LanePort;

  constructor(nc: NatsConnection, settings: Settings, reader: StreamReader, ownsConnection: boolean) {
    this.#nc = nc;
    this.#settings = settings;
    this.#ownsConnection = ownsConnection;
    this.#uplink = new Uplink(nc, settings, reader, () => this.#end("closed", "the connection to NATS was closed"));
    this.#port = {
      now: Date.now,
      recordBytes: () => Math.min(settings.maxRecordBytes, this.#maxMessageBytes()),
      recordEvents: settings.maxRecordEvents,
      fillMs: Math.min(1_000, settings.publishTimeoutMs / 4),
      publishTimeoutMs: settings.publishTimeoutMs,
      identify: (subject, key) => {
        if (key === undefined) return { messageId: this.#nextMessageId() };
        const messageId = idempotentMessageId(subject, key, settings.idempotencySecret);
        return { messageId, publishId: this.#nextMessageId() };
      },
      send: (record) => this.#uplink.send(record),
      settled: (lane, record) => {
        this.#queueBytes -= record.charge;
        this.#events -= record.events;
        lane.advance();
        if (lane.tail === undefined) this.#lanes.delete(lane.channel);
      },
      problem: () => this.#uplink.problem,
    };
  }

  publish(channel: string, event: EventInput): Promise<PublishResult> {
    try {
      const line = encodeLine(event);
      const bytes = Buffer.byteLength(line);
      this.#admit(bytes);
      const lane = this.#lane(channel, bytes + EVENT_OVERHEAD_BYTES);
      return new Promise((resolve, reject) => {
        this.#push(lane, line, bytes, event.idempotencyKey, resolve, reject);
      });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  publishMany(channel: string, events: readonly EventInput[]): Promise<PublishResult[]> {
    try {
      const lines = events.map(encodeLine);
      const sizes = lines.map((line) => Buffer.byteLength(line));
      let charge = 0;
      for (const bytes of sizes) {
        this.#admit(bytes);
        charge += bytes + EVENT_OVERHEAD_BYTES;
      }
      const lane = this.#lane(channel, charge);
      if (lines.length === 0) return Promise.resolve([]);
      return new Promise((resolve, reject) => {
        const results: PublishResult[] = new Array(lines.length);
        let left = lines.length;
        for (const [i, line] of lines.entries()) {
          const settle = (result: PublishResult): void => {
            results[i] = result;
            if (--left === 0) resolve(results);
          };
          this.#push(lane, line, sizes[i] ?? 0, events[i]?.idempotencyKey, settle, reject);
        }
      });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async flush(): Promise<void> {
    const settled: Promise<void>[] = [];
    for (const { tail } of this.#lanes.values()) {
      if (tail !== undefined) settled.push(new Promise((resolve) => tail.onSettled(resolve)));
    }
    await Promise.all(settled);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @throws PublisherError `too_large` */
  #admit(bytes: number): void {
    const limit = Math.min(this.#settings.maxEventBytes, this.#maxMessageBytes());
    if (bytes > limit) throw new PublisherError("too_large", `the event has ${bytes} bytes; the limit is ${limit}`);
  }

  /**
   * The lane of a channel that has room for so much more.
   *
   * @throws PublisherError `invalid_channel`, `forbidden`, `closed`, `queue_full`
   */
  #lane(channel: string, charge: number): Lane {
    if (this.#closed || this.#closing !== undefined) throw new PublisherError("closed", "the publisher is closed");
    // What is larger than the whole queue is let in when nothing else is there.
    if (this.#queueBytes > 0 && this.#queueBytes + charge > this.#settings.maxQueueBytes) {
      const why = `${this.#events} events wait (${this.#queueBytes} bytes, maxQueueBytes ${this.#settings.maxQueueBytes})`;
      throw new PublisherError("queue_full", `${why}: ${this.#uplink.problem}`);
    }
    return this.#lanes.get(channel) ?? new Lane(channel, subjectFor(channel, this.#settings.teamId), this.#port);
  }

  #push(lane: Lane, line: string, bytes: number, key: string | undefined, resolve: Resolve, reject: Reject): void {
    if (lane.tail === undefined) {
      this.#lanes.set(lane.channel, lane);
      this.#wake(lane);
    }
    this.#queueBytes += bytes + EVENT_OVERHEAD_BYTES;
    this.#events++;
    lane.push(line, bytes, key, resolve, reject);
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
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs(this.#settings));
  }

  #sweep(): void {
    if (this.#lanes.size === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
      return;
    }
    this.#uplink.sweep(Date.now());
    for (const lane of this.#lanes.values()) lane.expire();
  }

  async #close(): Promise<void> {
    const { closeTimeoutMs } = this.#settings;
    const timer = new AbortController();
    await Promise.race([this.flush(), delay(closeTimeoutMs, undefined, { signal: timer.signal }).catch(() => {})]);
    timer.abort();
    const left = this.#events;
    const { problem } = this.#uplink;
    this.#end("unavailable", `the publisher was closed: ${problem}`);
    if (this.#ownsConnection) await this.#nc.close();
    if (left === 0) return;
    const why = `${left} events not acknowledged within ${closeTimeoutMs} ms: ${problem}`;
    throw new PublisherError("unavailable", why, { stored: "unknown" });
  }

  /** Rejects all that is left: what was never sent first, so that nothing moves up. */
  #end(code: PublisherErrorCode, why: string): void {
    this.#closed = true;
    clearInterval(this.#sweeper);
    for (const lane of this.#lanes.values()) lane.abandon(new PublisherError(code, why));
    this.#uplink.close(code, why);
  }

  /** What NATS takes in one message, beside the headers. */
  #maxMessageBytes(): number {
    return (this.#nc.info?.max_payload ?? Infinity) - HEADER_ROOM_BYTES;
  }
}

/** Often enough that no timeout is late by more than a quarter, milliseconds. */
function sweepMs({ ackTimeoutMs, publishTimeoutMs }: Settings): number {
  return Math.max(10, Math.min(250, ackTimeoutMs / 4, publishTimeoutMs / 4));
}
