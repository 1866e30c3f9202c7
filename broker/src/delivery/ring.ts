import type { ChannelRecord } from "./channel-record.ts";
import type { RingMemory } from "./ring-memory.ts";

/** What a record weighs in memory: its bytes, and roughly the objects around them and the numbers of its lines. */
export function weightOf(record: ChannelRecord): number {
  return record.bytes.length + 512 + 16 * record.lines.length;
}

/**
 * The newest records of a channel: everything after `floor`, without a hole. Bounded in bytes by itself, and together
 * with all other rings by their memory: either may take its records from the oldest on, the newest included.
 */
export class Ring {
  readonly #maxBytes: number;
  readonly #memory: RingMemory;
  /** Those before `#first` are forgotten: their places are empty. */
  #records: (ChannelRecord | undefined)[] = [];
  #first = 0;
  #bytes = 0;
  #floor: number;

  constructor(maxBytes: number, floor: number, memory: RingMemory) {
    this.#maxBytes = maxBytes;
    this.#floor = floor;
    this.#memory = memory;
  }

  /** The sequence after which the ring is complete. */
  get floor(): number {
    return this.#floor;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Appends the record that follows the newest one. */
  push(record: ChannelRecord): void {
    const bytes = weightOf(record);
    this.#records.push(record);
    this.#bytes += bytes;
    while (this.#bytes > this.#maxBytes) this.#dropOldest();
    this.#memory.grew(this, this.#bytes);
  }

  /** Forgets the oldest record; false if there is none. */
  forgetOldest(): boolean {
    if (this.#first === this.#records.length) return false;
    this.#dropOldest();
    return true;
  }

  /** Forgets all, for good. */
  close(): void {
    this.#records = [];
    this.#first = 0;
    this.#bytes = 0;
    this.#memory.forget(this);
  }

  /**
   * The records after `seq` in order (a copy), up to the one with which they have `maxBytes`; `undefined` if the ring does
   * not reach back to `seq`.
   */
  after(seq: number, maxBytes: number): readonly ChannelRecord[] | undefined {
    if (seq < this.#floor) return undefined;
    const first = this.#indexAfter(seq);
    let end = first;
    for (let bytes = 0; end < this.#records.length && bytes < maxBytes; end++) {
      bytes += (this.#records[end] as ChannelRecord).bytes.length;
    }
    return this.#records.slice(first, end) as ChannelRecord[];
  }

  /** The record at exactly `seq`. */
  at(seq: number): ChannelRecord | undefined {
    const record = this.#records[this.#indexAfter(seq - 1)];
    return record?.seq === seq ? record : undefined;
  }

  /** Where the last `count` events begin, or `undefined` if the ring holds fewer. */
  lastEvents(count: number): { record: ChannelRecord; afterLine: number } | undefined {
    let missing = count;
    for (let i = this.#records.length - 1; i >= this.#first; i--) {
      const record = this.#records[i] as ChannelRecord;
      if (record.lines.length < missing) {
        missing -= record.lines.length;
        continue;
      }
      return { record, afterLine: (record.lines[record.lines.length - missing] as number) - 1 };
    }
    return undefined;
  }

  #dropOldest(): void {
    const oldest = this.#records[this.#first] as ChannelRecord;
    this.#records[this.#first++] = undefined;
    this.#bytes -= weightOf(oldest);
    this.#floor = oldest.seq;
    this.#cut();
  }

  /** Empty places are cut off in batches, so that a push stays cheap. */
  #cut(): void {
    if (this.#first === this.#records.length) {
      this.#records = [];
      this.#first = 0;
    } else if (this.#first > 64 && this.#first * 2 > this.#records.length) {
      this.#records = this.#records.slice(this.#first);
      this.#first = 0;
    }
  }

  #indexAfter(seq: number): number {
    let low = this.#first;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#records[middle] as ChannelRecord).seq <= seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
