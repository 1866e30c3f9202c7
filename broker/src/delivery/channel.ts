import type { GapReason } from "@kata/protocol/wire";
import type { EventLog, LiveFeed, LiveRecord, RecordMark, StoredRecord } from "../log/event-log.ts";
import { LogUnavailableError } from "../log/event-log.ts";
import { type ChannelRecord, decodeRecord, endOf } from "./channel-record.ts";
import type { Clock } from "./clock.ts";
import type { DeliveryFigures } from "./figures.ts";
import type { Framing } from "./framing.ts";
import { HeldRecords, type HoldingBudget } from "./held-records.ts";
import { type LiveReader, LiveReaders, type LiveReadersOptions } from "./live-readers.ts";
import type { PageCache } from "./page-cache.ts";
import { Pages } from "./pages.ts";
import { whileAway } from "./pause.ts";
import { ORIGIN, type Position } from "./position.ts";
import { Ring } from "./ring.ts";
import type { RingMemory } from "./ring-memory.ts";
import type { Finding, Survey } from "./survey.ts";
import { whyBroken } from "./verify.ts";

/** What a channel needs to know of everybody who reads it. */
export interface ChannelReader {
  /** The place where the reader stands may be gone: look again where to go on. */
  relocate(): void;
}

export interface ChannelOptions extends LiveReadersOptions {
  readonly name: string;
  readonly log: EventLog;
  readonly survey: Survey;
  readonly clock: Clock;
  /** Bytes of recent records kept for readers that come back. */
  readonly ringBytes: number;
  readonly ringMemory: RingMemory;
  readonly page: { readonly records: number; readonly bytes: number };
  readonly pageCache: PageCache;
  readonly holding: HoldingBudget;
  readonly figures: DeliveryFigures;
  /** Told of lines that are no events. */
  readonly onInvalid: (channel: string, record: ChannelRecord) => void;
  /** Told of an error that is no outage: a defect. What met it is tried again. */
  readonly onDefect: (error: unknown) => void;
}

type Phase = "opening" | "open" | "repairing" | "closed";

/** The newest record of a channel that has none. */
const NONE: RecordMark = { seq: 0, check: "" };

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
  readonly #held: HeldRecords;
  #phase: Phase = "opening";
  #epoch = "";
  #ring: Ring;
  #head = NONE;
  #end = ORIGIN;
  #mark = ORIGIN;
  #feed: LiveFeed | undefined;
  #settled: Promise<void>;
  /** The sequence of the last live record that did not follow the head. */
  #misfit = 0;
  #life = 0;
  /** Counts the reasons to look at the log again; one that comes up during a repair makes it start over. */
  #doubts = 0;
  readonly #shared = new Map<string, Promise<unknown>>();

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.#log = options.log;
    this.name = options.name;
    this.subject = options.subject;
    this.#ring = new Ring(options.ringBytes, 0, options.ringMemory);
    this.#held = new HeldRecords(options.holding);
    this.#live = new LiveReaders(options);
    this.pages = new Pages({
      log: options.log,
      subject: options.subject,
      page: options.page,
      cache: options.pageCache,
      decode: (record) => this.#decode(record),
    });
    this.#settled = this.#open();
  }

  get epoch(): string {
    return this.#epoch;
  }

  /** The newest record that was published to readers, or that the log had when the channel opened; `seq` 0 if there is none. */
  get head(): RecordMark {
    return this.#head;
  }

  /** The place after the newest record that was published to readers since the channel opened; `ORIGIN` if there was none. */
  get end(): Position {
    return this.#end;
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

  topic(framing: Framing): string {
    return this.#live.topic(framing);
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

  /**
   * Makes the channel complete up to `seq`, which the caller found in the log in this life of the channel.
   *
   * @throws LogUnavailableError if the log has lost that place since: look again
   */
  async reach(seq: number): Promise<void> {
    const life = this.#life;
    const done = () => seq <= this.#mark.seq || this.closed || this.#life !== life;
    if (!done()) await this.#settled;
    if (done()) return;
    await this.repair();
    if (!done()) throw new LogUnavailableError("the log has lost its end");
  }

  /** Something may have been missed: compares with the log and reads what is missing. Nothing live is sent meanwhile. */
  repair(): Promise<void> {
    this.#doubts++;
    if (this.#phase === "open") {
      this.#phase = "repairing";
      this.#settled = this.#repair();
    }
    return this.#settled;
  }

  /**
   * Compares with the log while live records go on; repairs what differs, and else is known to be complete up to the
   * log's end.
   *
   * @throws LogUnavailableError while the log cannot say
   */
  async audit(): Promise<void> {
    if (this.#phase !== "open") return;
    const before = this.#head;
    const mark = this.#mark;
    const life = this.#life;
    const finding = await this.#options.survey.ask(this.subject);
    if (this.#phase !== "open" || this.#life !== life) return;
    // Repaired or opened meanwhile: then it was looked at later than this.
    if (finding.epoch !== this.#epoch || finding.last.seq < mark.seq || !this.#agrees(before, finding)) {
      void this.repair();
    } else if (finding.last.seq > this.#mark.seq) {
      this.#mark = finding.last;
    }
  }

  close(): void {
    this.#phase = "closed";
    this.#feed?.close();
    this.#held.take();
    this.#ring.close();
    this.pages.clear();
  }

  /** Whether the log's newest record, looked for when `before` was the head, is one that this channel has. */
  #agrees(before: RecordMark, { newest }: Finding): boolean {
    const { seq, check } = newest ?? NONE;
    if (seq === this.#head.seq) return check === this.#head.check;
    if (seq === before.seq) return check === before.check;
    if (seq < before.seq || seq > this.#head.seq) return false;
    // The channel has moved on meanwhile, without a hole.
    const known = this.#ring.at(seq);
    return known === undefined || known.check === check;
  }

  async #open(): Promise<void> {
    await this.#untilDone(async () => {
      this.#feed ??= await this.#log.live(this.subject, (record) => this.#onLive(record));
      if (this.closed) this.#feed.close();
      else await this.#start();
    });
  }

  /** Takes the log's word for where the channel stands now. */
  async #start(): Promise<void> {
    const { epoch, last, newest } = await this.#options.survey.ask(this.subject);
    if (this.closed) return;
    this.#epoch = epoch;
    this.#head = newest ?? NONE;
    this.#end = ORIGIN;
    this.#mark = this.#head.seq > last.seq ? placeAt(this.#head) : last;
    this.#ring.close();
    this.#ring = new Ring(this.#options.ringBytes, this.#head.seq, this.#options.ringMemory);
    this.pages.clear();
    this.#phase = "open";
    this.#release();
  }

  async #repair(): Promise<void> {
    this.#options.figures.repairs++;
    let doubts: number;
    let broken: GapReason | undefined;
    do {
      doubts = this.#doubts;
      broken = await this.#untilDone(() => this.#catchUpWithLog());
    } while (doubts !== this.#doubts && broken === undefined && !this.closed);
    if (this.closed) return;
    if (broken !== undefined) return this.#startAnew();
    this.#phase = "open";
    this.#release();
  }

  /** Reads everything up to the log's newest record of the subject; or says why the log is not the one it was. */
  async #catchUpWithLog(): Promise<GapReason | undefined> {
    const { epoch, last, newest = NONE } = await this.#options.survey.ask(this.subject);
    if (this.closed) return undefined;
    if (epoch !== this.#epoch) return "reset";
    const { seq, check } = this.#head;
    if (newest.seq === seq && newest.check !== check) return "rewritten";
    if (newest.seq !== seq) {
      const whole = await this.#wholeFrom();
      if (typeof whole === "string") return whole;
      for (let from = whole; this.#head.seq < newest.seq && !this.closed; ) {
        const page = await this.pages.read(this.#epoch, from);
        if (typeof page === "string") return page;
        for (const record of page) if (record.seq > this.#head.seq) this.#apply(record);
        from = endOf(page.at(-1) as ChannelRecord);
      }
      // The head was trimmed, and nothing came after it: the next record will follow what is left.
      if (newest.seq < seq) this.#head = newest;
    }
    // Not the greater of the two: an end that the log has lost is no place to stand at any more.
    if (last.seq >= this.#head.seq) this.#mark = last;
    return undefined;
  }

  /** A place that this channel is complete up to and that still stands, so that the log is whole behind it. */
  async #wholeFrom(): Promise<Position | GapReason> {
    const broken = await whyBroken(this.#log, this.#epoch, this.#mark);
    if (broken === undefined) return this.#mark;
    const head = placeAt(this.#head);
    if (head.seq === 0 || head.seq === this.#mark.seq) return broken;
    return (await whyBroken(this.#log, this.#epoch, head)) ?? head;
  }

  /** The log is not the one this channel knew: every reader finds out for itself what that means for it. */
  async #startAnew(): Promise<void> {
    this.#phase = "opening";
    this.#life++;
    for (const reader of [...this.#readers]) reader.relocate();
    await this.#untilDone(() => this.#start());
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
    if (record.seq <= this.#mark.seq && this.#checkAt(record.seq) === record.check) return;
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
    const { records, letGo } = this.#held.take();
    for (const record of records) {
      // Read from the log meanwhile; if memory would know it and does not, or knows another one, it was not.
      const known = this.#checkAt(record.seq) ?? (record.seq <= this.#ring.floor ? record.check : undefined);
      const repeat = record.seq <= this.#mark.seq && known === record.check;
      // Once one of them starts a repair the others are held again.
      if (!repeat) this.#onLive(record);
    }
    if (letGo > this.#mark.seq) void this.repair();
  }

  /** The check of the channel's record at `seq`, where memory knows it. */
  #checkAt(seq: number): string | undefined {
    return seq === this.#head.seq ? this.#head.check : this.#ring.at(seq)?.check;
  }

  #apply(record: ChannelRecord): void {
    this.#ring.push(record);
    this.#head = { seq: record.seq, check: record.check };
    this.#end = endOf(record);
    if (record.seq > this.#mark.seq) this.#mark = this.#end;
    this.#live.publish(record);
  }

  #decode(stored: StoredRecord): ChannelRecord {
    const record = decodeRecord(stored, this.name, this.#epoch);
    if (record.invalid > 0) {
      this.#options.figures.invalidLines += record.invalid;
      this.#options.onInvalid(this.name, record);
    }
    return record;
  }

  #untilDone<T>(action: () => Promise<T>): Promise<T | undefined> {
    const { clock, onDefect } = this.#options;
    return whileAway({ log: this.#log, clock, stopped: () => this.closed, onDefect }, action);
  }
}

/** The place of a record, for looking whether it still stands; how many lines it has does not matter for that. */
function placeAt({ seq, check }: RecordMark): Position {
  return { seq, check, line: 0 };
}
