import type { GapReason } from "@kata/protocol/wire";
import type { EventLog, LiveFeed, LiveRecord, RecordMark, StoredRecord } from "../log/event-log.ts";
import { LogUnavailableError } from "../log/event-log.ts";
import { FreshAnswers } from "../log/fresh.ts";
import { type CatchingUp, catchUp } from "./catch-up.ts";
import { type ChannelRecord, decodeRecord } from "./channel-record.ts";
import type { Clock } from "./clock.ts";
import type { DeliveryFigures } from "./figures.ts";
import type { Framing } from "./framing.ts";
import { HeldRecords, type HoldingBudget } from "./held-records.ts";
import { type LiveReader, LiveReaders, type LiveReadersOptions } from "./live-readers.ts";
import type { PageCache } from "./page-cache.ts";
import { Pages } from "./pages.ts";
import { whileAway } from "./pause.ts";
import type { Places, SeenPlace } from "./places.ts";
import type { Position } from "./position.ts";
import { Rewinds } from "./rewinds.ts";
import type { Ring } from "./ring.ts";
import type { RingMemory } from "./ring-memory.ts";
import type { Survey } from "./survey.ts";
import { Tail } from "./tail.ts";
import { Waiters } from "./waiters.ts";

/** What a channel needs to know of everybody who reads it. */
export interface ChannelReader {
  /** The place where the reader stands may be gone: look again where to go on. */
  relocate(): void;
  /** The log has lost what lies behind `end`, which was nothing of the channel's: whoever stands beyond stands there now. */
  endLost(end: Position): void;
}

export interface ChannelOptions extends LiveReadersOptions {
  readonly name: string;
  readonly log: EventLog;
  readonly survey: Survey;
  readonly places: Places;
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

/** Busy: it opens, or repairs itself. */
type Phase = "busy" | "open" | "closed";

/**
 * One subject with local readers: its head, its recent records, its live feed, and the repair of holes in it. It is
 * complete up to `mark`: every record of the subject at or before it has been published to the live readers.
 */
export class Channel {
  readonly name: string;
  readonly subject: string;
  readonly pages: Pages;
  readonly rewinds: Rewinds;
  readonly #options: ChannelOptions;
  readonly #log: EventLog;
  readonly #readers = new Set<ChannelReader>();
  readonly #live: LiveReaders;
  readonly #held: HeldRecords;
  #phase: Phase = "busy";
  readonly #tail: Tail;
  #feed: LiveFeed | undefined;
  #settled: Promise<void>;
  /** The sequence of the last live record that did not follow the head. */
  #misfit = 0;
  #life = 0;
  #doubted = false;
  /** Counts the reasons to look at the log again; one that comes up during a repair makes it start over. */
  #doubts = 0;
  readonly #waiting = new Waiters();
  readonly #shared = new FreshAnswers<string>();

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.#log = options.log;
    this.name = options.name;
    this.subject = options.subject;
    this.#tail = new Tail(options.ringBytes, options.ringMemory);
    this.#held = new HeldRecords(options.holding);
    this.#live = new LiveReaders(options);
    this.rewinds = new Rewinds(options.log);
    this.pages = new Pages({
      log: options.log,
      subject: options.subject,
      page: options.page,
      cache: options.pageCache,
      look: (seq) => this.look(seq),
      decode: (record) => this.#decode(record),
    });
    this.#settled = this.#open();
  }

  get epoch(): string {
    return this.#tail.epoch;
  }

  /** The newest record that was published to readers, or that the log had when the channel opened; `seq` 0 if there is none. */
  get head(): RecordMark {
    return this.#tail.head;
  }

  /** The place after the newest record that was published to readers since the channel opened; `ORIGIN` if there was none. */
  get end(): Position {
    return this.#tail.end;
  }

  /** Up to where the channel is complete; at or after `head`. */
  get mark(): Position {
    return this.#tail.mark;
  }

  /** Everything before this sequence is known to be trimmed; more may be. */
  get trimmedBelow(): number {
    return this.#tail.trimmedBelow;
  }

  get ring(): Ring {
    return this.#tail.ring;
  }

  /** Counts how often the log turned out to be another one, or may have: what was found out in one life says nothing in the next. */
  get life(): number {
    return this.#life;
  }

  /** Whether what memory knows of the log's end may be another log's, until the channel has looked again. */
  get doubted(): boolean {
    return this.#doubted;
  }

  get readers(): number {
    return this.#readers.size;
  }

  get closed(): boolean {
    return this.#phase === "closed";
  }

  /** Looks at the record at `seq`, whichever channel's, and remembers what stands there. */
  async look(seq: number): Promise<StoredRecord | undefined> {
    const { epoch } = this.#log;
    const { generation } = this.#options.places;
    const record = await this.#log.at(seq);
    if (record !== undefined) this.#options.places.saw(epoch, generation, record);
    return record;
  }

  /**
   * Resolves when the channel is open and whole, and what it says of its head is true; also when it is closed, or `reader`
   * leaves: nothing is kept for one that is gone, however long the log stays away.
   */
  async settled(reader?: ChannelReader): Promise<void> {
    const waiter = reader ?? {};
    while (this.#phase !== "open" && !this.closed && (reader === undefined || this.#readers.has(reader))) {
      await this.#waiting.wait(waiter);
    }
  }

  /** How many wait until it is settled. */
  get waiting(): number {
    return this.#waiting.size;
  }

  topic(framing: Framing): string {
    return this.#live.topic(framing);
  }

  enter(reader: ChannelReader): void {
    this.#readers.add(reader);
  }

  leave(reader: ChannelReader): void {
    this.#readers.delete(reader);
    this.#waiting.stop(reader);
  }

  /**
   * Some of the records after `position` that are in memory, `undefined` if memory does not reach back so far. An
   * empty answer means that nothing lies after the position: join in the same tick.
   */
  after(position: Position): readonly ChannelRecord[] | undefined {
    return this.#tail.ring.after(position.seq, this.#options.highWaterBytes);
  }

  /**
   * What stands at `seq`, if it was seen lately and nothing behind it was gone when this channel opened: what came
   * behind it is then in the log, or went through this channel.
   */
  seen(seq: number): SeenPlace | undefined {
    return seq >= this.#tail.firstSeq ? this.#options.places.get(this.epoch, seq) : undefined;
  }

  /** Asked once for all who want the same at the same time; what was found out in one life is not shared in the next. */
  shared<T>(what: string, ask: () => Promise<T>): Promise<T> {
    return this.#shared.ask(`${this.#life} ${what}`, ask);
  }

  /** The caller stands at the head and has joined the topic in this very tick. */
  goLive(reader: LiveReader): void {
    this.#live.add(reader);
  }

  leaveLive(reader: LiveReader): void {
    this.#live.delete(reader);
  }

  /** A socket is full: what comes live in whichever channel would only be added to that. */
  socketFull(socket: object): void {
    this.#options.sweep.empty(socket);
  }

  /**
   * Makes the channel complete up to `seq`, which the caller found in the log in this life of the channel.
   *
   * @throws LogUnavailableError if the log has lost that place since: look again
   */
  async reach(seq: number): Promise<void> {
    const life = this.#life;
    const done = () => seq <= this.mark.seq || this.closed || this.#life !== life;
    if (!done()) await this.#settled;
    if (done()) return;
    await this.repair();
    if (done()) return;
    // Whatever was seen of that end is not there any more.
    this.#options.places.clear();
    throw new LogUnavailableError("the log has lost its end");
  }

  /** The connection was away, or the log is another one: nothing that was heard or read of its end may be believed. */
  doubt(): void {
    this.#life++;
    this.#doubted = true;
    this.#held.letGo();
    this.pages.clear();
    void this.repair();
  }

  /** Something may have been missed: compares with the log and reads what is missing. Nothing live is sent meanwhile. */
  repair(): Promise<void> {
    this.#doubts++;
    if (this.#phase === "open") {
      this.#phase = "busy";
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
    const { head, mark } = this.#tail;
    const life = this.#life;
    const finding = await this.#options.survey.ask(this.subject);
    // Repaired or opened meanwhile: then it was looked at later than this.
    if (this.#phase !== "open" || this.#life !== life) return;
    if (this.#tail.agrees({ head, mark }, finding)) this.#tail.confirm(finding);
    else void this.repair();
  }

  close(): void {
    this.#phase = "closed";
    this.#doubted = false;
    this.#feed?.close();
    this.#held.take();
    this.#tail.close();
    this.pages.clear();
    this.#waiting.wake();
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
    const life = this.#life;
    const doubts = this.#doubts;
    const finding = await this.#options.survey.ask(this.subject);
    if (this.closed) return;
    // The log is another one, or may be, since that was found out.
    if (this.#life !== life) return this.#start();
    this.#tail.begin(finding);
    this.pages.clear();
    this.#goOn();
    // Something came up while the log was asked, and what was found may be older than that.
    if (doubts !== this.#doubts) void this.repair();
  }

  async #repair(): Promise<void> {
    this.#options.figures.repairs++;
    const catchingUp = this.#catchingUp();
    let doubts: number;
    let broken: GapReason | undefined;
    do {
      doubts = this.#doubts;
      broken = await this.#untilDone(() => catchUp(catchingUp));
    } while (doubts !== this.#doubts && broken === undefined && !this.closed);
    if (this.closed) return;
    if (broken !== undefined) return this.#startAnew();
    this.#goOn();
  }

  #catchingUp(): CatchingUp {
    const channel = this;
    const { survey } = this.#options;
    return {
      subject: this.subject,
      log: this.#log,
      survey,
      pages: this.pages,
      tail: this.#tail,
      get closed() {
        return channel.closed;
      },
      look: (seq) => this.look(seq),
      apply: (record) => this.#apply(record),
      endLost: (end) => {
        for (const reader of [...this.#readers]) reader.endLost(end);
      },
    };
  }

  /** The log is not the one this channel knew: every reader finds out for itself what that means for it. */
  async #startAnew(): Promise<void> {
    if (this.closed) return;
    this.#phase = "busy";
    this.#life++;
    this.#options.places.clear();
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
    const judgement = this.#tail.judge(record);
    if (judgement === "next") return this.#apply(this.#decode(record));
    if (judgement === "repeat") return;
    if (record.seq === this.#misfit) {
      // The log has been read to its end, and neither it nor what should stand before it is there: trimmed already.
      this.#phase = "busy";
      // Not at once: the readers that it sends to look again have to wait for it.
      this.#settled = Promise.resolve().then(() => this.#startAnew());
      return;
    }
    this.#misfit = record.seq;
    this.#held.push(record);
    void this.repair();
  }

  /** Goes on with what arrived meanwhile; a hole in it starts the next repair. */
  #goOn(): void {
    this.#phase = "open";
    this.#doubted = false;
    const { records, letGo } = this.#held.take();
    // Once one of them starts a repair the others are held again.
    for (const record of records) if (!this.#tail.holds(record)) this.#onLive(record);
    if (this.#phase === "open") this.#waiting.wake();
    if (letGo <= this.mark.seq) return;
    // In a later turn: those who waited have looked by then, also where every repair lets go of something.
    setImmediate(() => {
      if (this.#phase === "open" && letGo > this.mark.seq) void this.repair();
    });
  }

  #apply(record: ChannelRecord): void {
    this.#tail.apply(record);
    this.#live.publish(record);
  }

  #decode(stored: StoredRecord): ChannelRecord {
    const record = decodeRecord(stored, this.name, this.epoch);
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
