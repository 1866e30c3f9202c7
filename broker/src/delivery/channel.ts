import type { GapReason } from "@kata/protocol/wire";
import type { EventLog, LiveFeed, LiveRecord, StoredRecord } from "../log/event-log.ts";
import { LogUnavailableError } from "../log/event-log.ts";
import { type ChannelRecord, decodeRecord, positionOf } from "./channel-record.ts";
import { HeldRecords } from "./held-records.ts";
import { type LiveReader, LiveReaders, type LiveReadersOptions } from "./live-readers.ts";
import { Pages } from "./pages.ts";
import { whileAway } from "./pause.ts";
import { ORIGIN, type Position } from "./position.ts";
import { Ring } from "./ring.ts";
import type { Turns } from "./turns.ts";
import { whyBroken } from "./verify.ts";

/** What a channel needs to know of everybody who reads it. */
export interface ChannelReader {
  /** The place where the reader stands may be gone: look again where to go on. */
  relocate(): void;
}

export interface ChannelOptions extends LiveReadersOptions {
  readonly name: string;
  readonly log: EventLog;
  /** Bytes of recent records kept for readers that come back. */
  readonly ringBytes: number;
  readonly page: { readonly records: number; readonly bytes: number };
  /** Told of lines that are no events. */
  readonly onInvalid: (channel: string, record: ChannelRecord) => void;
  /** Told of an error that is no outage: a defect. What met it is tried again. */
  readonly onDefect: (error: unknown) => void;
  /** Channels ask for their newest records in turns: all at once would be more than a connection takes. */
  readonly turns: Turns;
}

/** A place up to which somebody found the channel to be complete, and in which life of it. */
export interface Reached {
  readonly position: Position;
  readonly life: number;
}

type Phase = "opening" | "open" | "repairing" | "closed";

/**
 * One subject with local readers: its head, its recent records, its live feed, and the repair of holes in it. It is
 * complete up to `mark`: every record of the subject at or before it has been published to the live readers.
 */
export class Channel {
  readonly name: string;
  readonly subject: string;
  readonly pages: Pages;
  readonly #options: ChannelOptions;
  readonly #log: EventLog;
  readonly #readers = new Set<ChannelReader>();
  readonly #live: LiveReaders;
  readonly #held = new HeldRecords();
  #phase: Phase = "opening";
  #epoch = "";
  #ring: Ring;
  #head: Position = ORIGIN;
  #mark: Position = ORIGIN;
  #feed: LiveFeed | undefined;
  #settled: Promise<void>;
  /** The sequence of the last live record that did not follow the head. */
  #misfit = 0;
  #life = 0;
  readonly #shared = new Map<string, Promise<unknown>>();

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.#log = options.log;
    this.name = options.name;
    this.subject = options.subject;
    this.#ring = new Ring(options.ringBytes, 0);
    this.#live = new LiveReaders(options);
    this.pages = new Pages(options.log, options.subject, options.page, (record) => this.#decode(record));
    this.#settled = this.#open();
  }

  get epoch(): string {
    return this.#epoch;
  }

  /** The newest record that was published to readers; `ORIGIN` if there is none. */
  get head(): Position {
    return this.#head;
  }

  /** Up to where the channel is complete; at or after `head`. */
  get mark(): Position {
    return this.#mark;
  }

  get ring(): Ring {
    return this.#ring;
  }

  /** Counts how often the log turned out to be another one: what was found out in one life says nothing in the next. */
  get life(): number {
    return this.#life;
  }

  get readers(): number {
    return this.#readers.size;
  }

  get closed(): boolean {
    return this.#phase === "closed";
  }

  /** Resolves when the channel is open and whole: what it says of its head is then true. */
  settled(): Promise<void> {
    return this.#settled;
  }

  topic(ndjson: boolean): string {
    return this.#live.topic(ndjson);
  }

  enter(reader: ChannelReader): void {
    this.#readers.add(reader);
  }

  leave(reader: ChannelReader): void {
    this.#readers.delete(reader);
  }

  /**
   * Some of the records after `position` that are in memory, `undefined` if memory does not reach back so far. An
   * empty answer means that nothing lies after the position: join in the same tick.
   */
  after(position: Position): readonly ChannelRecord[] | undefined {
    return this.#ring.after(position.seq, this.#options.highWaterBytes);
  }

  /** One asks for all who want the same at the same time; what was found out in one life is not shared in the next. */
  shared<T>(what: string, ask: () => Promise<T>): Promise<T> {
    const key = `${this.#life} ${what}`;
    let asking = this.#shared.get(key) as Promise<T> | undefined;
    if (asking === undefined) {
      asking = ask().finally(() => this.#shared.delete(key));
      this.#shared.set(key, asking);
    }
    return asking;
  }

  /** The caller stands at the head and has joined the topic in this very tick. */
  goLive(reader: LiveReader): void {
    this.#live.add(reader);
    if (this.#live.size === this.#readers.size) this.pages.clear();
  }

  leaveLive(reader: LiveReader): void {
    this.#live.delete(reader);
  }

  /** Makes the channel complete up to `position`, which the caller found in the log in this life of the channel. */
  async reach(position: Position): Promise<void> {
    const life = this.#life;
    const done = () => position.seq <= this.#mark.seq || this.closed || this.#life !== life;
    while (!done()) {
      await this.#settled;
      if (!done()) await this.repair({ position, life });
    }
  }

  /** Compares with the log and reads what was missed; afterwards the channel is also known to be complete up to `reached`. */
  repair(reached?: Reached): Promise<void> {
    if (this.#phase === "open") {
      this.#phase = "repairing";
      this.#settled = this.#repair(reached);
    }
    return this.#settled;
  }

  /** The audit found nothing newer than the head up to there. */
  audited(reached: Reached): void {
    if (this.#phase === "open") this.#advance(reached);
  }

  close(): void {
    this.#phase = "closed";
    this.#feed?.close();
    this.#held.take();
    this.pages.clear();
  }

  async #open(): Promise<void> {
    await whileAway(
      () => this.closed,
      async () => {
        this.#feed ??= await this.#log.live(this.subject, (record) => this.#onLive(record));
        if (this.closed) return this.#feed.close();
        await this.#options.turns.take(() => this.#start());
      },
      this.#options.onDefect,
    );
  }

  /** Takes the log's word for where the channel stands now. */
  async #start(): Promise<void> {
    const state = await this.#log.state();
    const newest = await this.#log.head(this.subject);
    // Asked after the state: without a head the subject is empty up to the stream's last sequence.
    const last = newest ?? (state.lastSeq === 0 ? undefined : await this.#log.at(state.lastSeq));
    if (this.#log.epoch !== state.epoch) throw new LogUnavailableError("the stream was made anew");
    if (this.closed) return;
    this.#epoch = state.epoch;
    this.#head = newest === undefined ? ORIGIN : positionOf(newest);
    this.#mark = last === undefined ? { seq: state.lastSeq, check: undefined, line: 0 } : positionOf(last);
    this.#ring = new Ring(this.#options.ringBytes, this.#head.seq);
    this.pages.clear();
    this.#phase = "open";
    this.#release();
  }

  async #repair(reached: Reached | undefined): Promise<void> {
    const broken = await whileAway(
      () => this.closed,
      () => this.#options.turns.take(() => this.#catchUpWithLog()),
      this.#options.onDefect,
    );
    if (this.closed) return;
    if (broken !== undefined) return this.#startAnew();
    if (reached !== undefined) this.#advance(reached);
    this.#phase = "open";
    this.#release();
  }

  /** Reads everything up to the log's newest record of the subject; or says why the log is not the one it was. */
  async #catchUpWithLog(): Promise<GapReason | undefined> {
    const newest = await this.#log.head(this.subject);
    // Asked after the head: while the mark stands, that head belongs to the log that this channel knows.
    const broken = await whyBroken(this.#log, this.#epoch, this.#mark);
    if (broken !== undefined) return broken;
    if (newest === undefined || newest.seq <= this.#head.seq) {
      return newest?.seq === this.#head.seq && newest.check !== this.#head.check ? "rewritten" : undefined;
    }
    while (this.#head.seq < newest.seq && !this.closed) {
      // From the head, not from the mark: if a record at or before the mark is news, the mark was wrong.
      const page = await this.pages.read(this.#epoch, newest.seq > this.#mark.seq ? this.#mark : this.#head);
      if (typeof page === "string") return page;
      for (const record of page) if (record.seq > this.#head.seq) this.#apply(record);
    }
    return undefined;
  }

  #advance({ position, life }: Reached): void {
    if (life === this.#life && position.seq > this.#mark.seq) this.#mark = position;
  }

  /** The log is not the one this channel knew: every reader finds out for itself what that means for it. */
  async #startAnew(): Promise<void> {
    this.#phase = "opening";
    this.#life++;
    for (const reader of [...this.#readers]) reader.relocate();
    await whileAway(
      () => this.closed,
      () => this.#options.turns.take(() => this.#start()),
      this.#options.onDefect,
    );
  }

  #onLive(record: LiveRecord | undefined): void {
    if (this.#phase === "closed") return;
    if (record === undefined) {
      // Something came that cannot be read; if it was a record, the log has it.
      void this.repair();
      return;
    }
    if (this.#phase !== "open") {
      this.#held.push(record);
      return;
    }
    if (record.prevSeq === this.#head.seq && record.seq > this.#mark.seq) {
      this.#apply(this.#decode(record));
      return;
    }
    // Read from the log before it came: a repeat. Anything else says that this channel is not where the log is.
    if (record.seq <= this.#mark.seq && this.#ring.at(record.seq)?.check === record.check) return;
    if (record.seq === this.#misfit) {
      // The log has been read to its end, and neither it nor what should stand before it is there: trimmed already.
      this.#phase = "repairing";
      // Not at once: the readers that it sends to look again have to wait for it.
      this.#settled = Promise.resolve().then(() => this.#startAnew());
      return;
    }
    this.#misfit = record.seq;
    this.#held.push(record);
    void this.repair();
  }

  /** Goes on with what arrived meanwhile; a hole in it starts the next repair. */
  #release(): void {
    for (const record of this.#held.take()) {
      // Read from the log meanwhile, unless memory holds another one at its place.
      const repeat =
        record.seq <= this.#mark.seq && (this.#ring.at(record.seq)?.check ?? record.check) === record.check;
      // Once one of them starts a repair the others are held again.
      if (!repeat) this.#onLive(record);
    }
  }

  #apply(record: ChannelRecord): void {
    this.#ring.push(record);
    this.#head = { seq: record.seq, check: record.check, line: record.lastLine };
    if (record.seq > this.#mark.seq) this.#mark = this.#head;
    this.#live.publish(record);
  }

  #decode(stored: StoredRecord): ChannelRecord {
    const record = decodeRecord(stored, this.name, this.#epoch);
    if (record.invalid > 0) this.#options.onInvalid(this.name, record);
    return record;
  }
}
