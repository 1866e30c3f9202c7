import type { GapReason } from "@kata/protocol/wire";
import { type EventLog, LogUnavailableError, type StoredRecord } from "../log/event-log.ts";
import { type ChannelRecord, positionOf } from "./channel-record.ts";
import type { Page, PageCache, PageOwner } from "./page-cache.ts";
import type { Position } from "./position.ts";
import { whyBroken } from "./verify.ts";

/** What stands at a sequence: a record of this channel, or the place of another channel's. */
export type Standing = { readonly own: ChannelRecord } | { readonly foreign: Position };

/** What a read found: a page that is proven whole, whose record stands before it, or why there is none. */
interface Outcome {
  readonly page?: Page | undefined;
  readonly foreign?: Position | undefined;
  readonly broken?: GapReason | undefined;
}

/** Somebody who needs the page that holds everything from `from` on. */
interface Wanted {
  readonly epoch: string;
  readonly from: number;
  /** The place before `from`, which proves the page; `undefined`: what stands at `from` itself is looked for, and proves it. */
  readonly proof: Position | undefined;
  readonly settle: (outcome: Outcome) => void;
  readonly fail: (error: unknown) => void;
}

/** How often the oldest page is read that is trimmed as a whole while it is, or is not there yet where it was asked for. */
const FRONT_ATTEMPTS = 10;

export interface PagesOptions {
  readonly log: EventLog;
  readonly subject: string;
  readonly page: { readonly records: number; readonly bytes: number };
  readonly cache: PageCache;
  /** Looks at the record at a sequence, whichever channel's. */
  readonly look: (seq: number) => Promise<StoredRecord | undefined>;
  readonly decode: (record: StoredRecord) => ChannelRecord;
}

/**
 * History of one channel, read from the log page by page. One read runs at a time: whoever comes meanwhile waits, and is
 * served by it if it holds what is needed. So what history costs grows with its length, not with its readers.
 */
export class Pages implements PageOwner {
  readonly #options: PagesOptions;
  readonly #known = new Set<Page>();
  #waiting: Wanted[] = [];
  #reading = false;
  #generation = 0;
  /** Where the last read began: the next goes on upwards from there, so that nobody waits for ever. */
  #at = 0;

  constructor(options: PagesOptions) {
    this.#options = options;
  }

  /**
   * The records right after `position`, at least one, without a hole; or why the log can no longer give them. The
   * caller knows that there was a record after `position`.
   */
  async read(epoch: string, position: Position): Promise<readonly ChannelRecord[] | GapReason> {
    const from = position.seq + 1;
    const { page, broken } = await this.#get(epoch, from, position);
    return page === undefined ? (broken ?? "expired") : recordsFrom(page, from);
  }

  /** The same past what is remembered and past those who wait: for a channel that cannot go on before it knows. */
  async readNow(epoch: string, position: Position): Promise<readonly ChannelRecord[] | GapReason> {
    const { page, broken } = await this.#read({ epoch, from: position.seq + 1, proof: position });
    return page?.records ?? broken ?? "expired";
  }

  /**
   * The oldest records that are left, without a hole; none if there is none. What is trimmed while it is read is not among
   * them, and they need no place before them that still stands: retention may take that faster than it could be looked at.
   */
  async front(epoch: string): Promise<readonly ChannelRecord[]> {
    const { log, subject, page: limits, decode } = this.#options;
    const generation = this.#generation;
    for (let from = 1, attempt = 0; attempt < FRONT_ATTEMPTS; attempt++) {
      const { records } = await log.read({ subject, from: { seq: from }, ...limits });
      // Asked afterwards: nothing from there on was gone while it was read.
      const { epoch: now, firstSeq } = await log.state();
      if (now !== epoch) throw new LogUnavailableError("the stream was made anew");
      const left = records.filter(({ seq }) => seq >= firstSeq);
      if (left.length > 0) {
        const page = { from: firstSeq, records: left.map(decode) };
        if (generation === this.#generation) this.#remember(page);
        return page.records;
      }
      if (records.length === 0) {
        const newest = await log.head(subject);
        if (newest === undefined || newest.seq < firstSeq) return [];
        // Stored since, or the one that was asked lags behind.
      }
      from = firstSeq;
    }
    throw new LogUnavailableError("the log is trimmed faster than it can be read, or a replica of it lags behind");
  }

  /** What stands at `seq`; `undefined` if nothing does. What lies right behind it is remembered where there is room. */
  async standing(epoch: string, seq: number): Promise<Standing | undefined> {
    const { page, foreign } = await this.#get(epoch, seq, undefined);
    if (foreign !== undefined) return { foreign };
    if (page === undefined) return undefined;
    const own = recordsFrom(page, seq)[0];
    if (own?.seq === seq) return { own };
    // Inside a page that is whole, yet not of this channel.
    const stored = await this.#options.look(seq);
    return stored && { foreign: this.#foreign(stored) };
  }

  /** Forgets what was read: the log is not the one it was, or the channel is closed. */
  clear(): void {
    for (const page of this.#known) this.#options.cache.delete(page);
    this.#known.clear();
    this.#generation++;
  }

  forget(page: Page): void {
    this.#known.delete(page);
  }

  #get(epoch: string, from: number, proof: Position | undefined): Promise<Outcome> {
    for (const page of this.#known) {
      if (!covers(page, from)) continue;
      this.#options.cache.used(page);
      return Promise.resolve({ page });
    }
    return new Promise((settle, fail) => {
      this.#waiting.push({ epoch, from, proof, settle, fail });
      if (!this.#reading) void this.#serve();
    });
  }

  async #serve(): Promise<void> {
    this.#reading = true;
    // Those who come in the same tick are counted in.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const generation = this.#generation;
      const wanted = this.#next();
      this.#at = wanted.from;
      try {
        const outcome = await this.#read(wanted);
        wanted.settle(outcome);
        const { page } = outcome;
        if (page === undefined || generation !== this.#generation) continue;
        this.#take(
          (each) => each.epoch === wanted.epoch && covers(page, each.from),
          (each) => each.settle({ page }),
        );
        this.#remember(page);
      } catch (error) {
        wanted.fail(error);
        // The others would find the log away, too; each asks again in its own time.
        if (error instanceof LogUnavailableError)
          this.#take(
            () => true,
            (each) => each.fail(error),
          );
      }
    }
    this.#reading = false;
  }

  #remember(page: Page): void {
    const { seq: end } = page.records.at(-1) as ChannelRecord;
    // What it holds as well is not kept twice.
    for (const known of this.#known) {
      if (known.from < page.from || (known.records.at(-1) as ChannelRecord).seq > end) continue;
      this.#known.delete(known);
      this.#options.cache.delete(known);
    }
    if (this.#options.cache.add(page, this)) this.#known.add(page);
  }

  /** Takes out the one to read for: the nearest at or above where the last read began, else the lowest. */
  #next(): Wanted {
    let best = this.#waiting[0] as Wanted;
    for (const each of this.#waiting) {
      const ahead = each.from >= this.#at;
      if (ahead === best.from >= this.#at ? each.from < best.from : ahead) best = each;
    }
    this.#waiting.splice(this.#waiting.indexOf(best), 1);
    return best;
  }

  #take(which: (each: Wanted) => boolean, what: (each: Wanted) => void): void {
    const taken = this.#waiting.filter(which);
    if (taken.length === 0) return;
    this.#waiting = this.#waiting.filter((each) => !which(each));
    for (const each of taken) what(each);
  }

  #foreign(stored: StoredRecord): Position {
    // Whoever gave the page did not know it.
    if (stored.subject === this.#options.subject) throw new LogUnavailableError("a replica of the log lags behind");
    return positionOf(stored);
  }

  async #read({ epoch, from, proof }: Pick<Wanted, "epoch" | "from" | "proof">): Promise<Outcome> {
    const { log, subject, page: limits, look, decode } = this.#options;
    const { records } = await log.read({ subject, from: { seq: from }, ...limits });
    const first = records[0];
    if (proof === undefined && first?.seq !== from) {
      // Asked after the page was read: while it stands, nothing behind it was trimmed.
      const stored = await look(from);
      if (stored === undefined) return {};
      if (log.epoch !== epoch) throw new LogUnavailableError("the stream was made anew");
      const page = first === undefined ? undefined : { from, records: records.map(decode) };
      return { foreign: this.#foreign(stored), page };
    }
    const standing = proof ?? positionOf(first as StoredRecord);
    const broken = await whyBroken(log, epoch, standing);
    // What stood at `from` a moment ago is gone: the one who looks for it finds out why.
    if (broken !== undefined) return proof === undefined ? {} : { broken };
    if (records.length > 0) return { page: { from, records: records.map(decode) } };
    const newest = await log.head(subject);
    if (newest !== undefined && newest.seq >= from) throw new LogUnavailableError("a replica of the log lags behind");
    // Gone since, or it was another stream that said so.
    return { broken: (await whyBroken(log, epoch, standing)) ?? "expired" };
  }
}

function covers({ from, records }: Page, seq: number): boolean {
  const last = records.at(-1);
  return last !== undefined && from <= seq && seq <= last.seq;
}

function recordsFrom(page: Page, seq: number): readonly ChannelRecord[] {
  return page.from === seq ? page.records : page.records.filter((record) => record.seq >= seq);
}
