import type { HttpResponse } from "uWebSockets.js";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { MAX_EVENT_BYTES, MAX_RECORD_BYTES } from "@kata/protocol/wire";
import type { Principal } from "../auth/principal.ts";
import type { Revocation } from "../auth/revocation.ts";
import type { EventInput } from "../event-input.ts";
import { type BodyStream, READ_BYTES } from "./body-stream.ts";
import type { Connection } from "./connection.ts";
import { Lease } from "./lease.ts";
import { LineSplitter } from "./ndjson-lines.ts";
import { type Batch, Batches, batchKey, type Item } from "./publish-batch.ts";
import { PublishLines } from "./publish-lines.ts";
import { type EventPublisher, failureOf, type Outcome, type PublishDeps, type Together } from "./publish-port.ts";
import { type KeyHeaders, togetherOf } from "./publish-request.ts";
import { Tally } from "./publish-tally.ts";
import type { Refusal } from "./refusal.ts";
import { EXPLAINED } from "./wire-error.ts";

/** What a stream holds at most: what is read at a time, a line that is not whole, a batch that fills and one on its way. */
export const STREAM_BYTES = READ_BYTES + MAX_EVENT_BYTES + 2 * MAX_RECORD_BYTES;

/** How long it takes until a queue that was full is tried again, milliseconds. */
const FULL_MS = 50;

/** What a line can be refused for while the lines behind it are still published. */
const ONE_BY_ONE: ReadonlySet<string> = new Set(["invalid_json", "invalid_event", "bad_request", "too_large", "taken"]);

export interface PublishStreamOptions {
  readonly channel: string;
  readonly principal: Principal;
  readonly key: KeyHeaders | undefined;
  /** Whether the client wants a line for each event. */
  readonly wantsLines: boolean;
  readonly publisher: EventPublisher;
  /** When it was asked whose the channel is, `performance.now()`. */
  readonly since: number;
  readonly deps: PublishDeps;
}

/**
 * A body of events, one a line, that are published as they come [HTTP-8]. One batch is on its way while the next one is
 * read, and nothing is read beyond that. It ends with the body, or with the first batch of which is not known that the log
 * has it: nothing that stands behind it is published then.
 */
export class PublishStream implements Connection {
  readonly transport = "publish_stream";
  readonly tally = new Tally();
  /** Where the client wants a line for each event. */
  readonly lines: PublishLines | undefined;
  readonly #body: BodyStream;
  readonly #options: PublishStreamOptions;
  readonly #lease: Lease;
  readonly #splitter = new LineSplitter(MAX_EVENT_BYTES);
  readonly #batches: Batches;
  #flying: Promise<void> = Promise.resolve();
  /** Bytes of the piece that is being taken apart, and of the batch that is on its way. */
  #piece = 0;
  #flyingBytes = 0;
  #sent = 0;
  #ended: Refusal | undefined;
  readonly #over = new AbortController();
  #dismissed = false;
  /** Whether the body was read to its end, and all of it handed over. */
  #complete = false;
  #ownerAt: number;

  constructor(res: HttpResponse, body: BodyStream, options: PublishStreamOptions) {
    this.#body = body;
    this.#options = options;
    this.#lease = new Lease(options.principal);
    this.#ownerAt = options.since;
    this.#batches = new Batches(options.key !== undefined);
    this.lines = options.wantsLines ? new PublishLines(res, options.deps.fanOut, () => body.stayPaused()) : undefined;
    body.onAborted(() => this.lines?.closed());
  }

  /** Why it ended before its body did. */
  get ended(): Refusal | undefined {
    return this.#ended;
  }

  /** Whether the broker is about to stop: there is no time to wait for what the client still sends. */
  get dismissed(): boolean {
    return this.#dismissed;
  }

  /** Publishes until it is over. What its client can be told is in `tally` then. */
  async run(): Promise<void> {
    await this.#read();
    await this.#flying;
  }

  buffered(): number {
    return this.lines?.buffered() ?? 0;
  }

  held(): number {
    return this.#body.held + this.#piece + this.#splitter.held + this.#batches.bytes + this.#flyingBytes;
  }

  beat(now: number): void {
    const { config } = this.#options.deps;
    void this.#lookAgain();
    this.#body.nudge(now);
    this.lines?.beat(now, config.stallTimeoutMs);
    const idleMs = config.streamIdleTimeoutMs;
    if (this.#body.silentMs(now) > idleMs) {
      this.#end({ code: "unavailable", message: `nothing came for ${idleMs} ms: go on in a new request` });
    }
  }

  revoked(revocation: Revocation): void {
    if (this.#lease.revoke(revocation)) this.#honourLease();
  }

  ownerChanged(): void {
    // Told only of channels that somebody reads here: each beat looks instead.
  }

  dismiss(): void {
    this.#dismissed = true;
    // What becomes of the last batch is known before the broker is gone.
    if (this.#complete) return;
    this.#end({ code: "unavailable", message: "the broker restarts: go on in a new request", retryAfterMs: 1_000 });
  }

  async #read(): Promise<void> {
    const body = this.#body;
    for (;;) {
      await body.more();
      if (this.#ended !== undefined) return;
      const piece = body.take();
      if (piece !== undefined) await this.#takeApart(piece);
      else if (body.whole || body.aborted) break;
    }
    if (body.aborted) {
      // A chunk that is cut off must not take the place of the one that a retry brings; of lines without a key all that are whole count.
      if (this.#options.key === undefined) await this.#send(this.#batches.rest());
      return;
    }
    const last = this.#splitter.end();
    if (last !== undefined) await this.#send(this.#batches.add(last));
    await this.#send(this.#batches.rest());
    this.#complete = true;
  }

  async #takeApart(piece: Buffer): Promise<void> {
    this.#piece = piece.length;
    for (let at = 0; at < piece.length && this.#ended === undefined; ) {
      const paid = await this.#pace(piece.length - at);
      for (const line of this.#splitter.push(piece.subarray(at, at + paid))) {
        if (this.#ended !== undefined) break;
        const full = this.#batches.add(line);
        if (full.length > 0) await this.#send(full);
      }
      at += paid;
      // Whoever sends line by line has each published at once.
      if (this.#options.key === undefined) await this.#send(this.#batches.rest());
    }
    this.#piece = 0;
  }

  /** Waits for the batch before: a batch that fails has nothing behind it. */
  async #send(batches: readonly Batch[]): Promise<void> {
    for (const batch of batches) {
      await this.#flying;
      if (this.#ended !== undefined) return;
      this.#flyingBytes = batch.bytes;
      this.#flying = this.#publish(batch)
        .catch((error: unknown) => this.#end(failureOf(error, this.#options.deps)))
        .finally(() => {
          this.#flyingBytes = 0;
        });
    }
  }

  async #publish({ items }: Batch): Promise<void> {
    await this.#lookAgain();
    if (this.#ended !== undefined) return;
    const { key } = this.#options;
    const n = this.#sent++;
    const events = items.flatMap(({ event }) => (event === undefined ? [] : [event]));
    // Lines that are all wrong must not keep everybody else from their turn.
    const outcomes = events.length === 0 ? await turn([]) : await this.#store(events, key && this.#keyOf(key, n));
    const told = this.#tell(items, outcomes);
    if (this.lines !== undefined && !this.#body.aborted) await this.lines.write(told);
  }

  #keyOf(key: KeyHeaders, n: number): Together {
    return togetherOf(key, batchKey(key.idempotencyKey, n), performance.now());
  }

  /** What became of the events, up to the first of which nothing is known: there are no more of them then. */
  async #store(events: readonly EventInput[], together?: Together): Promise<readonly Outcome[]> {
    const outcomes = await this.#storeOnce(events, together);
    if (together !== undefined || outcomes.some((each) => this.#isUnknown(each))) return outcomes;
    // One line that the log refuses takes its record's others with it. Those at the end can be tried in smaller records, in their order.
    const from = outcomes.findLastIndex((each) => !this.#isRefused(each)) + 1;
    const refused = events.slice(from);
    if (refused.length < 2) return outcomes;
    const half = Math.ceil(refused.length / 2);
    const stored = outcomes.slice(0, from);
    for (const part of [refused.slice(0, half), refused.slice(half)]) {
      if (this.#ended !== undefined || stored.some((each) => this.#isUnknown(each))) break;
      stored.push(...(await this.#store(part)));
    }
    return stored;
  }

  #isUnknown(outcome: Outcome): boolean {
    return "error" in outcome && !this.#isRefused(outcome);
  }

  /** Whether the log has not got the event, and does not take it as it is; that can be for its neighbours. */
  #isRefused(outcome: Outcome): boolean {
    const code = "error" in outcome ? this.#options.deps.publishErrorOf(outcome.error)?.code : undefined;
    return code === "invalid_event" || code === "too_large";
  }

  /** Tries again for a while where there was no room; nothing had been accepted then. */
  async #storeOnce(events: readonly EventInput[], together?: Together): Promise<readonly Outcome[]> {
    const { channel, publisher, deps } = this.#options;
    const until = performance.now() + deps.config.publishTimeoutMs;
    for (;;) {
      const outcomes = await publisher.publish(channel, events, together);
      const [first] = outcomes;
      const full = first !== undefined && "error" in first && deps.publishErrorOf(first.error)?.full === true;
      if (!full || this.#ended !== undefined || performance.now() >= until) return outcomes;
      await this.#wait(FULL_MS);
    }
  }

  /** Counts, and gives what is to be said of each line; after an event of which nothing is known, nothing more. */
  #tell(items: readonly Item[], outcomes: readonly Outcome[]): string {
    let told = "";
    let at = 0;
    for (const { index, event, refusal } of items) {
      const outcome = event === undefined ? undefined : outcomes[at++];
      // It ended before this one's turn.
      if (event !== undefined && outcome === undefined) break;
      if (outcome !== undefined && !("error" in outcome)) {
        this.tally.stored(index, outcome);
        const { eventId, duplicate } = outcome;
        told += `{"index":${index},"eventId":"${eventId}","duplicate":${duplicate}}\n`;
        continue;
      }
      const failure = refusal ?? failureOf(outcome?.error, this.#options.deps);
      if (!ONE_BY_ONE.has(failure.code)) {
        this.#end(failure);
        break;
      }
      told += `${JSON.stringify({ index, error: this.tally.refused(index, failure) })}\n`;
      // The key stands for something else: so would the keys of what comes behind.
      if (failure.code === "taken" && this.#options.key !== undefined) this.#end(failure);
    }
    return told;
  }

  /** [LIMIT-4] Whoever is beyond the limit waits. Resolves with how many of the bytes may go on; 0 where it has ended. */
  async #pace(bytes: number): Promise<number> {
    const { limits } = this.#options.deps;
    while (this.#ended === undefined) {
      const { taken, waitMs } = limits.pace(this.#lease.principal, bytes);
      if (taken > 0) return taken;
      await this.#wait(Math.ceil(waitMs));
    }
    return 0;
  }

  async #wait(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#over.signal }).catch(() => undefined);
  }

  /** [AUTH-3] Whether it may still be done; a channel can have got another owner, too. */
  async #lookAgain(): Promise<void> {
    this.#honourLease();
    const { channel, deps } = this.#options;
    if (this.#ended !== undefined || !deps.ownerChangedSince(channel, this.#ownerAt)) return;
    this.#ownerAt = performance.now();
    const { errorCode } = await deps.authorize(channel, this.#lease.principal);
    if (errorCode !== undefined) this.#end({ code: errorCode, message: EXPLAINED[errorCode] });
  }

  #honourLease(): void {
    const due = this.#lease.due(Date.now());
    if (due === undefined || due.what === "warn") return;
    const expired = due.what === "expired" && this.#lease.principal.type === "session_user";
    const code = expired ? "token_expired" : "unauthenticated";
    this.#end({ code, message: EXPLAINED[code] });
  }

  #end(why: Refusal): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    this.#over.abort();
    this.#body.wake();
  }
}
