import type { CommandId } from "@kata/protocol/wire";
import type { EventLog } from "../log/event-log.ts";
import type { Channel } from "./channel.ts";
import { type ChannelRecord, forEachEvent, sliceAfter } from "./channel-record.ts";
import { encodeControl } from "./control.ts";
import type { LiveReader } from "./live-readers.ts";
import { locate, type Start, type StartRequest } from "./locate.ts";
import { whileAway } from "./pause.ts";
import { ORIGIN, type Position, positionId } from "./position.ts";

/** What a subscription sees of a socket. */
export interface Reader {
  send(frame: Buffer): void;
  /** Bytes that the socket has not taken yet. */
  buffered(): number;
  join(topic: string): void;
  leave(topic: string): void;
}

export interface SubscriptionOptions {
  readonly channel: Channel;
  readonly log: EventLog;
  readonly reader: Reader;
  /** Whether several envelopes may share a frame [CONNECT-3]. */
  readonly ndjson: boolean;
  /** Replay rests while the socket holds more than this many unsent bytes. */
  readonly highWaterBytes: number;
  /** Told of an error that is no outage: a defect. The subscription cannot go on. */
  readonly onDefect: (error: unknown) => void;
}

type Phase = "locating" | "catching up" | "live" | "closed";

/** One socket's way through one channel: it finds its start, catches up, joins the live feed, and falls behind again. */
export class Subscription implements LiveReader {
  readonly ndjson: boolean;
  readonly #options: SubscriptionOptions;
  readonly #channel: Channel;
  readonly #reader: Reader;
  #phase: Phase = "locating";
  #position: Position | undefined;
  #startId: string | undefined;
  /** The log's epoch that the position belongs to; the channel's own may be ahead. */
  #epoch = "";
  /** Which run is the one in force; every other one ends at its next step. */
  #run = 0;
  #caughtUpDue = true;
  #everCaughtUp = false;
  #wake: (() => void) | undefined;

  constructor(options: SubscriptionOptions) {
    this.#options = options;
    this.#channel = options.channel;
    this.#reader = options.reader;
    this.ndjson = options.ndjson;
  }

  /**
   * What [PING-1] may say of this subscription: the place up to which its socket has been sent everything. `undefined`
   * before the first `caught_up`, when no pong is about it; `ORIGIN` while the place is being looked for anew.
   */
  get sentUpTo(): { readonly epoch: string; readonly position: Position } | undefined {
    if (!this.#everCaughtUp) return undefined;
    if (this.#phase === "live") return { epoch: this.#epoch, position: this.#channel.mark };
    const position = this.#phase === "catching up" ? this.#position : undefined;
    return { epoch: this.#epoch, position: position ?? ORIGIN };
  }

  get channel(): Channel {
    return this.#channel;
  }

  start(request: StartRequest, commandId: CommandId | undefined): void {
    this.#channel.enter(this);
    this.#begin(request, commandId);
  }

  /** The socket took bytes. */
  drained(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Ends it and returns the last position that was sent; no event follows [UNSUBSCRIBE-1]. */
  close(): string | undefined {
    this.#stop();
    this.#phase = "closed";
    this.#channel.leave(this);
    return this.#lastId();
  }

  buffered(): number {
    return this.#reader.buffered();
  }

  fallBehind(): void {
    this.#stop();
    this.#phase = "catching up";
    this.#go(this.#run, () => this.#catchUp(this.#run));
  }

  relocate(): void {
    // Before `subscribed` was sent there is no place to lose; the run under way looks at the new log by itself.
    if (this.#phase === "closed" || this.#phase === "locating") return;
    const eventId = this.#lastId();
    this.#stop();
    this.#begin(eventId === undefined ? { kind: "now" } : { kind: "after", eventId }, undefined);
  }

  #lastId(): string | undefined {
    this.#keepUp();
    if (this.#position === undefined || this.#position.seq === 0) return this.#startId;
    return positionId(this.#epoch, this.#position);
  }

  /** A live reader stands where the channel's head is, unless it started beyond it, at a place of another channel. */
  #keepUp(): void {
    const { head } = this.#channel;
    if (this.#phase === "live" && head.seq > (this.#position?.seq ?? 0)) this.#position = head;
  }

  #stop(): void {
    this.#keepUp();
    if (this.#phase === "live") {
      this.#reader.leave(this.#channel.topic(this.ndjson));
      this.#channel.leaveLive(this);
    }
    this.#run++;
    this.drained();
  }

  #begin(request: StartRequest, commandId: CommandId | undefined): void {
    const run = ++this.#run;
    this.#phase = "locating";
    this.#go(run, async () => {
      const stopped = () => this.#run !== run;
      const found = await whileAway(stopped, async () => {
        await this.#channel.settled();
        const { life } = this.#channel;
        return { life, start: await locate(this.#options.log, this.#channel, request, stopped) };
      });
      if (found === undefined || stopped()) return;
      // The log changed while it was asked. Looked at here, in the tick of `subscribed`: from then on relocate() tells.
      if (this.#channel.life !== found.life) return this.#begin(request, commandId);
      this.#announce(found.start, commandId);
      await this.#catchUp(run);
    });
  }

  #go(run: number, work: () => Promise<void>): void {
    work().catch((error: unknown) => {
      if (this.#run === run) this.#options.onDefect(error);
    });
  }

  #announce(start: Start, commandId: CommandId | undefined): void {
    const payload = {
      recovery: start.recovery,
      ...(start.reason === undefined ? {} : { reason: start.reason }),
      ...(commandId === undefined ? {} : { id: commandId }),
    };
    this.#reader.send(encodeControl("subscribed", payload, { channel: this.#channel.name, eventId: start.eventId }));
    this.#startId = start.eventId;
    this.#epoch = this.#channel.epoch;
    this.#position = start.position;
    this.#caughtUpDue = true;
    this.#phase = "catching up";
    if (start.rest !== undefined) this.#sendRecord(start.rest.record, start.rest.afterLine);
  }

  async #catchUp(run: number): Promise<void> {
    while (this.#run === run) {
      if (this.#reader.buffered() > this.#options.highWaterBytes) {
        await this.#drain();
        continue;
      }
      const position = this.#position as Position;
      const recent = this.#channel.after(position);
      if (recent === undefined) {
        await this.#fromLog(run, position);
      } else if (recent.length > 0) {
        this.#sendSome(recent);
      } else {
        // The position is the head, and this tick ends after the join: no event can fall between [ORDER-1].
        this.#join();
        return;
      }
    }
  }

  async #fromLog(run: number, position: Position): Promise<void> {
    const channel = this.#channel;
    const page = await whileAway(
      () => this.#run !== run,
      async () => {
        await channel.settled();
        return this.#run === run ? channel.pages.read(channel.epoch, position) : undefined;
      },
    );
    if (page === undefined || this.#run !== run) return;
    if (typeof page !== "string") return this.#sendAll(run, page);
    // [RESUME-6] Trimmed, rewritten or recreated while this reader was on its way.
    this.#stop();
    this.#begin({ kind: "gap", reason: page }, undefined);
  }

  /** Sends until the socket holds enough; what is left is asked of memory again, so that nothing is held for it. */
  #sendSome(records: readonly ChannelRecord[]): void {
    for (const record of records) {
      this.#sendRecord(record, -1);
      this.#position = { seq: record.seq, check: record.check, line: record.lastLine };
      if (this.#reader.buffered() > this.#options.highWaterBytes) return;
    }
  }

  /** Sends a page to its end, resting whenever the socket holds enough. */
  async #sendAll(run: number, records: readonly ChannelRecord[]): Promise<void> {
    for (const record of records) {
      while (this.#reader.buffered() > this.#options.highWaterBytes) {
        await this.#drain();
        if (this.#run !== run) return;
      }
      this.#sendRecord(record, -1);
      this.#position = { seq: record.seq, check: record.check, line: record.lastLine };
    }
  }

  #sendRecord(record: ChannelRecord, afterLine: number): void {
    if (this.ndjson) {
      const frame = sliceAfter(record, afterLine);
      if (frame !== undefined) this.#reader.send(frame);
    } else {
      forEachEvent(record, afterLine, (envelope) => this.#reader.send(envelope));
    }
  }

  #join(): void {
    const channel = this.#channel;
    const eventId = this.#lastId();
    this.#reader.join(channel.topic(this.ndjson));
    this.#phase = "live";
    channel.goLive(this);
    if (this.#caughtUpDue) {
      this.#caughtUpDue = false;
      this.#everCaughtUp = true;
      this.#reader.send(
        encodeControl("caught_up", {}, { channel: channel.name, ...(eventId === undefined ? {} : { eventId }) }),
      );
    }
  }

  #drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
