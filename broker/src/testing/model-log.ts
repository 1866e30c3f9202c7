import { formatEventId, ORIGIN_CHECK, parseEventId } from "@kata/protocol/wire";
import type { RecordMark } from "../log/event-log.ts";
import type { MemoryStream } from "./memory-stream.ts";

/** A stream from its making to its end. */
export interface Life {
  readonly epoch: string;
  /**
   * Everything that was ever stored, trimmed or not: what has sequence n is at n - 1. Each loss of the tail begins another
   * branch, which shares what was left.
   */
  readonly branches: ModelRecord[][];
  firstSeq: number;
}

export interface ModelRecord {
  readonly life: Life;
  readonly seq: number;
  readonly subject: string;
  readonly check: string;
  /** How many lines it has, whether they are events or not. */
  readonly lines: number;
  readonly events: readonly ModelEvent[];
  readonly storedAtMs: number;
  /** The branch in which it was stored. What stands before it there stands before it in every branch that has it. */
  readonly branch: number;
}

/** After a line of what stood at a sequence, in one branch of one life; the line is infinite where no record is named. */
export interface Place {
  readonly life: Life;
  readonly branch: number;
  readonly seq: number;
  readonly line: number;
}

export interface ModelEvent {
  readonly record: ModelRecord;
  readonly line: number;
}

export interface LineShape {
  /** Whether it is no event. */
  readonly noise: boolean;
  /** Bytes beyond the shortest. */
  readonly filler: number;
}

/** What the broker adds to an event at most: channel and eventId. */
const ENVELOPE_BYTES = 100;

/** What is done to the stream itself. */
export type ModelledStream = Pick<MemoryStream, "loseTail" | "now" | "recreate" | "trim"> & {
  state(): { readonly epoch: string };
  store(subject: string, data: Uint8Array, options: { readonly live: boolean }): RecordMark;
};

/** The whole truth of a stream: what it ever held, beside what is left of it. */
export class ModelLog {
  readonly lives: Life[] = [];
  readonly records: ModelRecord[] = [];
  /** Called whenever the truth has changed. */
  readonly watchers = new Set<() => void>();
  /** What the largest record can weigh as envelopes, bytes. */
  largest = 0;
  readonly #stream: ModelledStream;
  readonly #events: ModelEvent[] = [];

  constructor(stream: ModelledStream) {
    this.#stream = stream;
    this.#begin(stream.state().epoch);
  }

  get life(): Life {
    return this.lives.at(-1) as Life;
  }

  get lastSeq(): number {
    return chainOf(this.life).length;
  }

  /** Whether anything is gone that was stored. */
  get hasLost(): boolean {
    return this.lives.length > 1 || this.life.firstSeq > 1 || this.life.branches.length > 1;
  }

  /** How many events were ever stored. */
  get stored(): number {
    return this.#events.length;
  }

  /** @param live whether it is republished */
  store(subject: string, shapes: readonly LineShape[], live = true): void {
    const data = this.encode(shapes);
    this.add(subject, shapes, data, this.#stream.store(subject, data, { live }));
  }

  /** The next record that is stored. */
  encode(shapes: readonly LineShape[]): Buffer {
    let number = this.#events.length;
    const texts = shapes.map(({ noise, filler }) =>
      noise
        ? "no event"
        : `{"type":"own","timestamp":"t","encoding":"json","payload":"${number++} ${"x".repeat(filler)}"}`,
    );
    return Buffer.from(texts.join("\n"));
  }

  /** It has been stored. */
  add(subject: string, shapes: readonly LineShape[], data: Buffer, { seq, check }: RecordMark): void {
    const { life } = this;
    const branch = life.branches.length - 1;
    const lines = shapes.length;
    const events: ModelEvent[] = [];
    this.largest = Math.max(this.largest, data.length + ENVELOPE_BYTES * lines);
    const record = { life, branch, seq, subject, check, lines, events, storedAtMs: this.#stream.now() };
    for (const [line, { noise }] of shapes.entries()) if (!noise) events.push({ record, line });
    chainOf(life).push(record);
    this.records.push(record);
    this.#events.push(...events);
    this.#changed();
  }

  /** Retention takes `count` records from the front. */
  trim(count: number): void {
    this.life.firstSeq = Math.min(this.life.firstSeq + count, this.lastSeq + 1);
    this.#stream.trim(this.life.firstSeq);
    this.#changed();
  }

  /** The newest `count` records are lost, of those that are left. */
  loseTail(count: number): void {
    const { life } = this;
    const from = Math.max(life.firstSeq, this.lastSeq + 1 - count);
    this.#stream.loseTail(from);
    life.branches.push(chainOf(life).slice(0, from - 1));
    this.#changed();
  }

  recreate(epoch = `e${this.lives.length}`): void {
    this.#stream.recreate(epoch);
    this.#begin(epoch);
    this.#changed();
  }

  event(number: number): ModelEvent | undefined {
    return this.#events[number];
  }

  /** What stands at a sequence now. */
  standing(seq: number): ModelRecord | undefined {
    return seq < this.life.firstSeq ? undefined : chainOf(this.life)[seq - 1];
  }

  /** The events of a subject that stand now. */
  existing(subject: string): ModelEvent[] {
    const { life } = this;
    const chain = chainOf(life);
    return chain.slice(life.firstSeq - 1).flatMap((record) => (record.subject === subject ? record.events : []));
  }

  /** The place that an eventId names, if it was ever one. */
  place(eventId: string): Place | undefined {
    const id = parseEventId(eventId);
    const life = this.lives.find(({ epoch }) => epoch === id?.epoch);
    if (id === undefined || life === undefined) return undefined;
    for (let branch = life.branches.length - 1; branch >= 0; branch--) {
      const record = life.branches[branch]?.[id.seq - 1];
      if (record?.check === id.check && id.n < record.lines) return { life, branch, seq: id.seq, line: id.n };
    }
    if (id.check !== ORIGIN_CHECK || id.n > 0 || id.seq > chainOf(life).length) return undefined;
    if (life === this.life && this.standing(id.seq) !== undefined) return undefined;
    return { life, branch: life.branches.length - 1, seq: id.seq, line: Number.POSITIVE_INFINITY };
  }

  /** The end of the log. */
  end(): Place {
    const { life, lastSeq } = this;
    return { life, branch: life.branches.length - 1, seq: lastSeq, line: Number.POSITIVE_INFINITY };
  }

  /**
   * The events of a subject that lie after `from` and not after `to`; `undefined` if what was last before `from` never
   * came before `to`: then they are places of two logs.
   */
  between(subject: string, from: Place, to: Place): ModelEvent[] | undefined {
    if (from.life !== to.life) return undefined;
    const chain = to.life.branches[to.branch] ?? [];
    const last = lastAtOrBefore(subject, from);
    if (last !== undefined && (last.record.seq > to.seq || chain[last.record.seq - 1] !== last.record)) {
      // Whoever looks back from a later place of the same branch finds nothing.
      return from.seq > to.seq && from.life.branches[from.branch]?.[to.seq - 1] === chain[to.seq - 1] ? [] : undefined;
    }
    const found: ModelEvent[] = [];
    for (let seq = last?.record.seq ?? 1; seq <= to.seq; seq++) {
      const record = chain[seq - 1];
      if (record?.subject !== subject) continue;
      for (const event of record.events) {
        const seen = last !== undefined && seq === last.record.seq && event.line <= last.line;
        if (!seen && (seq < to.seq || event.line <= to.line)) found.push(event);
      }
    }
    return found;
  }

  #begin(epoch: string): void {
    this.lives.push({ epoch, branches: [[]], firstSeq: 1 });
  }

  #changed(): void {
    for (const watcher of this.watchers) watcher();
  }
}

export function chainOf(life: Life): ModelRecord[] {
  return life.branches.at(-1) as ModelRecord[];
}

export function placeOf({ record, line }: ModelEvent): Place {
  return { life: record.life, branch: record.branch, seq: record.seq, line };
}

export function idOf({ record, line }: ModelEvent): string {
  return formatEventId(record.life.epoch, record.seq, record.check, line);
}

/** A place, for people. */
export function nameOf({ life, seq, line }: Place): string {
  return `${life.epoch}-${seq}${line > 0 ? `.${line}` : ""}`;
}

/** The last event of a subject that lies at a place or before it. */
function lastAtOrBefore(subject: string, { life, branch, seq, line }: Place): ModelEvent | undefined {
  const chain = life.branches[branch] ?? [];
  for (let at = Math.min(seq, chain.length); at > 0; at--) {
    const record = chain[at - 1];
    if (record?.subject !== subject) continue;
    const last = record.events.findLast((event) => at < seq || event.line <= line);
    if (last !== undefined) return last;
  }
  return undefined;
}
