import type { ChannelRecord } from "./channel-record.ts";

/** What a record weighs beyond its bytes, roughly: without it, records that hold no event would cost nothing and never go. */
const RECORD_BYTES = 256;

/**
 * The newest records of a channel: everything after `floor`, without a hole. Bounded in bytes; the newest record
 * always stays, whatever its size.
 */
export class Ring {
  readonly #maxBytes: number;
  #records: ChannelRecord[] = [];
  #first = 0;
  #bytes = 0;
  #floor: number;

  constructor(maxBytes: number, floor: number) {
    this.#maxBytes = maxBytes;
    this.#floor = floor;
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
    this.#records.push(record);
    this.#bytes += record.bytes.length + RECORD_BYTES;
    while (this.#bytes > this.#maxBytes && this.#first < this.#records.length - 1) {
      const oldest = this.#records[this.#first++] as ChannelRecord;
      this.#bytes -= oldest.bytes.length + RECORD_BYTES;
      this.#floor = oldest.seq;
    }
    // Forgotten records are cut off in batches, so that a push stays cheap.
    if (this.#first > 64 && this.#first * 2 > this.#records.length) {
      this.#records = this.#records.slice(this.#first);
      this.#first = 0;
    }
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
    return this.#records.slice(first, end);
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
