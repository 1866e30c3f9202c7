import { checkOf } from "@kata/protocol/wire";
import {
  type EventLog,
  type LiveFeed,
  type LiveRecord,
  type LogEvent,
  type LogPage,
  type LogState,
  LogUnavailableError,
  type PageRequest,
  type RecordMark,
  type StoredRecord,
} from "../log/event-log.ts";

type Asked = "state" | "head" | "at" | "read" | "heads";

/** A log in memory, whose live feed and whose answers a test holds in its hand. */
export class MemoryLog implements EventLog {
  epoch = "a";
  connected = true;
  /** How often each method was asked. */
  readonly asked: Record<Asked, number> = { state: 0, head: 0, at: 0, read: 0, heads: 0 };
  readonly #gates = new Map<Asked, Promise<void>>();
  readonly #live = new Map<string, (record: LiveRecord | undefined) => void>();
  readonly #listeners = new Set<(event: LogEvent) => void>();
  #stream = "a";
  #records: StoredRecord[] = [];
  #first = 1;
  #last = 0;

  /** Stores an event whose payload is `message`; unless told otherwise it is republished at once. */
  store(subject: string, message: string, options: { live?: boolean; text?: string } = {}): LiveRecord {
    const event = JSON.stringify({ type: "own", timestamp: "t", encoding: "json", payload: message });
    const prevSeq = this.#newest(subject)?.seq ?? 0;
    const seq = ++this.#last;
    const check = checkOf(`${this.#stream} ${seq}`);
    const record = { seq, subject, check, data: Buffer.from(options.text ?? event), prevSeq };
    this.#records.push(record);
    if (options.live !== false) this.republish(record);
    return record;
  }

  republish(record: LiveRecord): void {
    this.#live.get(record.subject)?.(record);
  }

  /** Something that cannot be read comes over a live feed. */
  garble(subject: string): void {
    this.#live.get(subject)?.(undefined);
  }

  /** Retention takes everything before `first`. */
  trim(first: number): void {
    this.#first = Math.max(this.#first, first);
    this.#records = this.#records.filter((record) => record.seq >= first);
  }

  /** Takes one subject's records before `seq` out of the middle. */
  purge(subject: string, seq = Number.POSITIVE_INFINITY): void {
    this.#records = this.#records.filter((record) => record.subject !== subject || record.seq >= seq);
    this.#first = this.#records[0]?.seq ?? this.#last + 1;
  }

  /** The log loses its end, and forgets that it had it. */
  loseTail(from: number): void {
    this.#records = this.#records.filter((record) => record.seq < from);
    this.#last = from - 1;
    this.#stream += "'";
  }

  /** Deletes the stream and makes it anew. Nobody is told until somebody asks for the state. */
  recreate(epoch: string): void {
    this.#stream = epoch;
    this.#records = [];
    this.#first = 1;
    this.#last = 0;
  }

  /** Answers of this kind, computed at once, are held back until the returned function is called. */
  hold(asked: Asked): () => void {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#gates.set(asked, gate);
    return () => {
      if (this.#gates.get(asked) === gate) this.#gates.delete(asked);
      open();
    };
  }

  /** Later answers of this kind are not held back any more; those that are stay so. */
  letPass(asked: Asked): void {
    this.#gates.delete(asked);
  }

  tell(event: LogEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }

  async state(): Promise<LogState> {
    const epoch = this.#stream.replaceAll("'", "");
    const state = await this.#answer("state", { epoch, firstSeq: this.#first, lastSeq: this.#last });
    const recreated = this.epoch !== state.epoch;
    this.epoch = state.epoch;
    if (recreated) this.tell("recreated");
    return state;
  }

  head(subject: string): Promise<StoredRecord | undefined> {
    return this.#answer("head", this.#newest(subject));
  }

  at(seq: number): Promise<StoredRecord | undefined> {
    const found = this.#records.find((record) => record.seq === seq);
    return this.#answer("at", found);
  }

  read({ subject, from, records }: PageRequest): Promise<LogPage> {
    const seq = "seq" in from ? from.seq : 1;
    const all = this.#records.filter((record) => record.subject === subject && record.seq >= seq);
    return this.#answer("read", { records: all.slice(0, records), pending: Math.max(0, all.length - records) });
  }

  heads(subjects: readonly string[], upToSeq: number): Promise<ReadonlyMap<string, RecordMark>> {
    const heads = new Map<string, RecordMark>();
    for (const subject of subjects) {
      const newest = this.#records.findLast((record) => record.subject === subject && record.seq <= upToSeq);
      if (newest !== undefined) heads.set(subject, { seq: newest.seq, check: newest.check });
    }
    return this.#answer("heads", heads);
  }

  async live(subject: string, onRecord: (record: LiveRecord | undefined) => void): Promise<LiveFeed> {
    this.#live.set(subject, onRecord);
    return { close: () => void this.#live.delete(subject) };
  }

  listen(listener: (event: LogEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async close(): Promise<void> {}

  #newest(subject: string): StoredRecord | undefined {
    return this.#records.findLast((record) => record.subject === subject);
  }

  async #answer<T>(asked: Asked, value: T): Promise<T> {
    this.asked[asked]++;
    if (!this.connected) throw new LogUnavailableError("away");
    await (this.#gates.get(asked) ?? nextTurn());
    return value;
  }
}

/** Lets everything that is due happen: no answer of the memory log takes longer than so many turns of the event loop. */
export async function settle(turns = 60): Promise<void> {
  for (let i = 0; i < turns; i++) await nextTurn();
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
