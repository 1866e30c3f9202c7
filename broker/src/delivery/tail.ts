import type { LiveRecord, RecordMark } from "../log/event-log.ts";
import { type ChannelRecord, endOf } from "./channel-record.ts";
import { ORIGIN, type Position } from "./position.ts";
import { Ring } from "./ring.ts";
import type { RingMemory } from "./ring-memory.ts";
import type { Finding } from "./survey.ts";

/** The newest record of a channel that has none. */
const NONE: RecordMark = { seq: 0, check: "" };

export type Difference = "same" | "newer" | "older" | "rewritten";

/** What a channel knew of itself at a moment. */
export interface Known {
  readonly head: RecordMark;
  readonly mark: Position;
}

/** What a channel knows of its subject's end in the log, and how what it hears fits to that. Decides, and asks nobody. */
export class Tail {
  readonly #ringBytes: number;
  readonly #ringMemory: RingMemory;
  #epoch = "";
  #firstSeq = 0;
  #trimmedBelow = 0;
  #ring: Ring;
  #head = NONE;
  #end = ORIGIN;
  #mark = ORIGIN;

  constructor(ringBytes: number, ringMemory: RingMemory) {
    this.#ringBytes = ringBytes;
    this.#ringMemory = ringMemory;
    this.#ring = new Ring(ringBytes, 0, ringMemory);
  }

  get epoch(): string {
    return this.#epoch;
  }

  /** The newest record that was applied, or that the log had when it was asked; `seq` 0 if there is none. */
  get head(): RecordMark {
    return this.#head;
  }

  /** The place after the newest record that was applied; `ORIGIN` if none was since the beginning. */
  get end(): Position {
    return this.#end;
  }

  /** Up to where nothing is missing; at or after `head`. */
  get mark(): Position {
    return this.#mark;
  }

  /** The oldest sequence that the log had when this began: what came behind it was there, or was applied since. */
  get firstSeq(): number {
    return this.#firstSeq;
  }

  /** Everything before this sequence is known to be trimmed; more may be. */
  get trimmedBelow(): number {
    return this.#trimmedBelow;
  }

  /** The recent records, complete up to the head. */
  get ring(): Ring {
    return this.#ring;
  }

  /** Forgets everything and takes the log's word for where the subject stands. */
  begin({ epoch, firstSeq, last, newest = NONE }: Finding): void {
    this.#epoch = epoch;
    this.#firstSeq = firstSeq;
    this.#trimmedBelow = firstSeq;
    this.#head = newest;
    this.#end = ORIGIN;
    this.#mark = last;
    this.#ring.close();
    this.#ring = new Ring(this.#ringBytes, newest.seq, this.#ringMemory);
  }

  /** Appends the record that follows the head. */
  apply(record: ChannelRecord): void {
    this.#ring.push(record);
    this.#head = { seq: record.seq, check: record.check };
    this.#end = endOf(record);
    if (record.seq > this.#mark.seq) this.#mark = this.#end;
  }

  /** How the log's newest record differs from the head. */
  compare({ newest = NONE }: Finding): Difference {
    const { seq, check } = this.#head;
    if (newest.seq === seq) return newest.check === check ? "same" : "rewritten";
    return newest.seq > seq ? "newer" : "older";
  }

  /**
   * Whether nothing can have been stored and trimmed unseen, where the newest record found is the head: while that stands
   * everything behind it does. Where there is none, it is for the mark to show it.
   */
  provesWhole({ firstSeq }: Finding, mark = this.#mark): boolean {
    return this.#head.seq > 0 || firstSeq <= mark.seq + 1;
  }

  /** Everything up to the newest record found was applied since, where that one was newer than the head. */
  caughtUp({ firstSeq, last, newest = NONE }: Finding, difference: Exclude<Difference, "rewritten">): void {
    this.#trimmedBelow = Math.max(this.#trimmedBelow, firstSeq);
    // The head was trimmed, and nothing came after it: the next record will follow what is left.
    if (difference === "older") this.#head = newest;
    // Not the greater of the two: an end that the log has lost is no place to stand at any more.
    if (last.seq >= this.#head.seq) this.#mark = last;
  }

  /** Whether what was found, asked when `before` was known, is where this is now or was since: nothing is missing then. */
  agrees(before: Known, finding: Finding): boolean {
    const { epoch, last, newest = NONE } = finding;
    if (epoch !== this.#epoch || last.seq < before.mark.seq || newest.seq > this.#head.seq) return false;
    const { seq, check } = newest;
    if (seq === this.#head.seq) return check === this.#head.check && this.provesWhole(finding, before.mark);
    // Moved on meanwhile: then what came since lies behind the end that was found.
    const known = seq === before.head.seq ? before.head.check : this.#checkAt(seq);
    const next = this.#ring.after(seq, 1)?.[0];
    const since = next !== undefined && next.seq > last.seq;
    return known === check && since && (seq > 0 || finding.firstSeq <= before.mark.seq + 1);
  }

  /** What agreed is complete up to the log's end as it was found. */
  confirm({ firstSeq, last }: Finding): void {
    this.#trimmedBelow = Math.max(this.#trimmedBelow, firstSeq);
    if (last.seq > this.#mark.seq) this.#mark = last;
  }

  /** How a live record fits: it is next, was applied before, or says that this is not where the log is. */
  judge(record: LiveRecord): "next" | "repeat" | "misfit" {
    // Where the log holds no record before it, one may have been there and gone unseen.
    const follows = record.prevSeq === this.#head.seq && (record.prevSeq > 0 || record.seq === this.#mark.seq + 1);
    if (follows && record.seq > this.#mark.seq) return "next";
    return record.seq <= this.#mark.seq && this.#checkAt(record.seq) === record.check ? "repeat" : "misfit";
  }

  /** Whether a live record that was held was read from the log meanwhile; one that memory would know and does not was not. */
  holds(record: LiveRecord): boolean {
    const known = this.#checkAt(record.seq) ?? (record.seq <= this.#ring.floor ? record.check : undefined);
    return record.seq <= this.#mark.seq && known === record.check;
  }

  /** Frees what it keeps, for good. */
  close(): void {
    this.#ring.close();
  }

  #checkAt(seq: number): string | undefined {
    return seq === this.#head.seq ? this.#head.check : this.#ring.at(seq)?.check;
  }
}

/** The place of a record, for looking whether it still stands; how many lines it has does not matter for that. */
export function placeAt({ seq, check }: RecordMark): Position {
  return { seq, check, line: 0 };
}
