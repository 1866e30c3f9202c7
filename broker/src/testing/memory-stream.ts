import { checkOf } from "@kata/protocol/wire";
import type {
  HeadRecord,
  LiveRecord,
  LogPage,
  LogState,
  PageRequest,
  RecordMark,
  StoredRecord,
} from "../log/event-log.ts";

interface Entry {
  readonly record: StoredRecord;
  readonly timeMs: number;
}

export interface StoreOptions {
  /** The publisher's message id, empty for a stranger without one. Default: one that no other record has. */
  readonly id?: string;
  /** Whether it is republished at once; default yes. */
  readonly live?: boolean;
}

/** What the stream holds, and what it answers. Any number of memory logs can be connected to it, as brokers are. */
export class MemoryStream {
  /** The clock that stamps what is stored, ms since 1970. */
  now: () => number;
  readonly #connected = new Set<(record: LiveRecord) => void>();
  #epoch = "a";
  #tailsLost = 0;
  #entries: Entry[] = [];
  #lastSeq = 0;

  constructor(now: () => number = Date.now) {
    this.now = now;
  }

  store(subject: string, data: Uint8Array, options: StoreOptions = {}): LiveRecord {
    const prevSeq = this.head(subject)?.seq ?? 0;
    const seq = ++this.#lastSeq;
    // Another one for what takes the place of a lost record.
    const id = options.id ?? `${this.#epoch}${"'".repeat(this.#tailsLost)} ${seq}`;
    const record = { seq, subject, check: checkOf(id === "" ? data : id), data };
    this.#entries.push({ record, timeMs: this.now() });
    const republished = { ...record, prevSeq };
    if (options.live !== false) for (const send of [...this.#connected]) send(republished);
    return republished;
  }

  /** Hands on what is stored from now on; the returned function ends it. */
  connect(send: (record: LiveRecord) => void): () => void {
    this.#connected.add(send);
    return () => void this.#connected.delete(send);
  }

  /** Retention takes everything before `first`. */
  trim(first: number): void {
    this.#entries = this.#entries.filter(({ record }) => record.seq >= first);
  }

  /** Takes one subject's records before `seq` out of the middle. */
  purge(subject: string, seq = Number.POSITIVE_INFINITY): void {
    this.#entries = this.#entries.filter(({ record }) => record.subject !== subject || record.seq >= seq);
  }

  /** It loses its end, and forgets that it had it. */
  loseTail(from: number): void {
    this.#entries = this.#entries.filter(({ record }) => record.seq < from);
    this.#lastSeq = from - 1;
    this.#tailsLost++;
  }

  /** It is deleted and made anew. */
  recreate(epoch: string): void {
    this.#epoch = epoch;
    this.#tailsLost = 0;
    this.#entries = [];
    this.#lastSeq = 0;
  }

  state(): LogState {
    const firstSeq = this.#entries[0]?.record.seq ?? this.#lastSeq + 1;
    return { epoch: this.#epoch, firstSeq, lastSeq: this.#lastSeq };
  }

  head(subject: string): HeadRecord | undefined {
    const entry = this.#entries.findLast(({ record }) => record.subject === subject);
    return entry && { ...entry.record, storedAtMs: entry.timeMs };
  }

  at(seq: number): StoredRecord | undefined {
    return this.#entries.find(({ record }) => record.seq === seq)?.record;
  }

  read({ subject, from, records, bytes }: PageRequest): LogPage {
    const all = this.#entries
      .filter(({ record, timeMs }) => {
        return record.subject === subject && ("seq" in from ? record.seq >= from.seq : timeMs >= from.timeMs);
      })
      .map(({ record }) => record);
    let count = 0;
    let size = 0;
    for (const record of all) {
      if (count === records || (count > 0 && size >= bytes)) break;
      count++;
      // As nats-server counts.
      size += record.subject.length + record.data.length;
    }
    return { records: all.slice(0, count), pending: all.length - count };
  }

  heads(subjects: readonly string[], upToSeq: number): ReadonlyMap<string, RecordMark> {
    const heads = new Map<string, RecordMark>();
    // nats-server gives none at all for a sequence that it has not come to; so does a replica that lags.
    if (upToSeq > this.#lastSeq) return heads;
    const wanted = new Set(subjects);
    for (const { record } of this.#entries) {
      if (record.seq > upToSeq) break;
      if (wanted.has(record.subject)) heads.set(record.subject, { seq: record.seq, check: record.check });
    }
    return heads;
  }
}
