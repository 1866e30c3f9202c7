import type { RecordIdentity } from "./record.ts";
import { type Change, type Database, lockedError, openDatabase, spoolErrorOf } from "./spool-database.ts";
import { prepareDirectory } from "./spool-directory.ts";
import { damaged, SpoolError } from "./spool-error.ts";
import {
  emptyTotals,
  encodeTotals,
  FORMAT,
  headLine,
  OWNER_KEY,
  readLeft,
  type SpooledHead,
  type SpooledRecord,
  type SpoolOwner,
  type StoredRecord,
  segmentKey,
  TOTALS_KEY,
  type Totals,
} from "./spool-left.ts";

/** Records that wait for the log, on disk. What is handed in is there when `commit` says so, not before. */
export interface SpoolStore {
  /** What the records on disk have in all, bytes; what was handed in since the last commit does not count yet. */
  readonly bytes: number;
  /**
   * One more event of a record, or several, a line each, to be committed. The first one of a record makes it the
   * newest in the spool.
   *
   * @param lines encoded events with line feeds between them, none at the end
   */
  add(head: SpooledHead, lines: string): void;
  /** The record is in the log or given up: it goes with the next commit. One that is not there is no mistake. */
  remove(record: RecordIdentity): void;
  /**
   * Resolves when everything handed in so far is on disk, additions and removals alike, all or nothing. Calls that come
   * while a batch is being written share the next one. Rejects with a {@link SpoolError}; what could not be written goes with the
   * next commit then, unless it is removed before.
   */
  commit(): Promise<void>;
  /** How much of a record is on disk: all that was handed in, some of it, as far as is known now, or nothing that is known of. */
  holds(record: RecordIdentity): "all" | "some" | "none";
  /** Commits and lets go of the directory. Rejects if the commit does. */
  close(): Promise<void>;
}

export interface OpenedSpool {
  readonly spool: SpoolStore;
  /** What an earlier process left, in the order in which the records were opened. They stay until they are removed. */
  readonly left: readonly SpooledRecord[];
}

/**
 * Opens the spool in a directory of its own, which is made if it is not there. One process has it at a time.
 *
 * @throws SpoolError
 */
export async function openSpool(given: string, owner: SpoolOwner): Promise<OpenedSpool> {
  const directory = await prepareDirectory(given);
  if (inUse.has(directory)) throw lockedError(directory);
  inUse.add(directory);
  let database: Database | undefined;
  try {
    database = await openDatabase(directory);
    const stored = await readStored(database, directory, owner);
    const left = stored.map(({ head, text }) => ({ ...head, lines: text.split("\n") }));
    return { spool: new LevelSpool(database, directory, stored), left };
  } catch (error) {
    await database?.close();
    inUse.delete(directory);
    throw spoolErrorOf(error, directory, "not_writable");
  }
}

/**
 * Directories that this process has open. LevelDB's own lock is by name, so it does not know one directory by two; and it is a lock of
 * the process: a second attempt to open it, though refused, lets go of the first one's, and another process gets in.
 */
const inUse = new Set<string>();

async function readStored(database: Database, directory: string, owner: SpoolOwner): Promise<StoredRecord[]> {
  const mine = ownerLine(owner);
  const found = await database.get(OWNER_KEY);
  if (found === undefined) {
    // It is written first of all and never removed.
    if ((await database.get(TOTALS_KEY)) !== undefined) throw damaged(directory, "whose it is cannot be read");
    for await (const _ of database.keys({ limit: 1 })) {
      const why = `${directory} is another program's database: give the spool a directory of its own`;
      throw new SpoolError("foreign", why);
    }
    await database.put(OWNER_KEY, mine, { sync: true });
  } else if (found !== mine) {
    const stored = await readLeft(database, directory);
    const otherWay = found === ownerLine({ ...owner, via: owner.via === "nats" ? "http" : "nats" });
    if (otherWay && stored.length === 0) {
      await database.put(OWNER_KEY, mine, { sync: true });
      return stored;
    }
    if (otherWay) {
      const why = `the spool ${directory} holds events that were to be sent another way (${found}, this one is ${mine}): send them that way first, or give this publisher another directory`;
      throw new SpoolError("foreign", why);
    }
    const why = `the spool ${directory} holds events of another publisher (${found}, this one is ${mine}): give it another directory`;
    throw new SpoolError("foreign", why);
  }
  return readLeft(database, directory);
}

function ownerLine({ teamId, stream, via }: SpoolOwner): string {
  return JSON.stringify({ format: FORMAT, teamId, stream, via });
}

/** A record that is in the spool, or on its way there. */
interface Entry {
  readonly head: SpooledHead;
  readonly number: number;
  /** Segments that are on disk. */
  segments: number;
  /** Segments that can be on disk: more, if a batch has failed. */
  written: number;
  /** What they have in all, bytes. */
  bytes: number;
  /** Lines for the next segment. */
  waiting: string | undefined;
  removed: boolean;
  /** Whether lines of it are in the batch that is being written. */
  writing: boolean;
}

function emptyEntry(head: SpooledHead, number: number): Entry {
  return { head, number, segments: 0, written: 0, bytes: 0, waiting: undefined, removed: false, writing: false };
}

class LevelSpool implements SpoolStore {
  readonly #directory: string;
  #database: Database;
  readonly #entries = new Map<string, Entry>();
  /** Entries that the next batch changes. */
  #changed = new Set<Entry>();
  #nextNumber = 1;
  /** What is on disk. */
  #totals: Totals = emptyTotals();
  /** The batch that is being written. */
  #writing: Promise<void> = Promise.resolve();
  /** The one behind it, which has not begun. */
  #next: Promise<void> | undefined;
  #broken = false;
  #closing: Promise<void> | undefined;

  constructor(database: Database, directory: string, stored: readonly StoredRecord[]) {
    this.#database = database;
    this.#directory = directory;
    for (const { head, number, segments, bytes } of stored) {
      this.#entries.set(idOf(head), { ...emptyEntry(head, number), segments, written: segments, bytes });
      this.#totals.segments += segments;
      this.#totals.bytes += bytes;
      this.#totals.numbers += segments * number;
      this.#nextNumber = number + 1;
    }
  }

  get bytes(): number {
    return this.#totals.bytes;
  }

  add(head: SpooledHead, lines: string): void {
    const id = idOf(head);
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      entry = emptyEntry(head, this.#nextNumber++);
      this.#entries.set(id, entry);
    }
    entry.waiting = entry.waiting === undefined ? lines : `${entry.waiting}\n${lines}`;
    this.#changed.add(entry);
  }

  remove(record: RecordIdentity): void {
    const id = idOf(record);
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    entry.removed = true;
    entry.waiting = undefined;
    this.#changed.add(entry);
  }

  holds(record: RecordIdentity): "all" | "some" | "none" {
    const entry = this.#entries.get(idOf(record));
    if (entry === undefined) return "none";
    // What is being written may get there, or not.
    if (entry.writing) return "some";
    if (entry.segments === 0) return "none";
    return entry.waiting === undefined ? "all" : "some";
  }

  commit(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(this.#closed());
    return this.#commit();
  }

  close(): Promise<void> {
    this.#closing ??= this.#commit().finally(async () => {
      await this.#database.close();
      inUse.delete(this.#directory);
    });
    return this.#closing;
  }

  #commit(): Promise<void> {
    if (this.#next !== undefined) return this.#next;
    // What is being written holds all there was.
    if (this.#changed.size === 0) return this.#writing;
    this.#next = this.#writing
      // A batch that fails tells those who waited for it; what it held goes with this one.
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        this.#writing = this.#write();
        return this.#writing;
      });
    return this.#next;
  }

  async #write(): Promise<void> {
    const changed = this.#changed;
    this.#changed = new Set();
    const batch = new Batch(changed, this.#totals);
    if (batch.changes.length === 0) return;
    batch.changes.push({ type: "put", key: TOTALS_KEY, value: encodeTotals(batch.totals) });
    try {
      if (this.#broken) await this.#reopen();
      await this.#database.batch(batch.changes, { sync: true });
    } catch (error) {
      // A part of it may be in LevelDB's log, which must not be written on behind that.
      this.#broken = true;
      batch.takeBack();
      for (const entry of this.#changed) changed.add(entry);
      this.#changed = changed;
      throw spoolErrorOf(error, this.#directory, "failed");
    }
    batch.settle();
    this.#totals = batch.totals;
  }

  /** Opening reads LevelDB's log up to where it is whole, and begins another. */
  async #reopen(): Promise<void> {
    await this.#database.close();
    this.#database = await openDatabase(this.#directory);
    this.#broken = false;
  }

  #closed(): SpoolError {
    return new SpoolError("closed", `the spool ${this.#directory} is closed`);
  }
}

/** What one commit writes, and what is known once it is written. */
class Batch {
  readonly changes: Change[] = [];
  /** What is on disk then. */
  readonly totals: Totals;
  readonly #added: { readonly entry: Entry; readonly lines: string; readonly bytes: number }[] = [];

  constructor(entries: Iterable<Entry>, totals: Totals) {
    this.totals = { ...totals };
    for (const entry of entries) {
      if (entry.removed) this.#remove(entry);
      else if (entry.waiting !== undefined) this.#add(entry, entry.waiting);
    }
  }

  settle(): void {
    for (const { entry, bytes } of this.#added) {
      entry.writing = false;
      entry.segments++;
      entry.bytes += bytes;
    }
  }

  /** What failed comes before what has been added since, in the same segment. */
  takeBack(): void {
    for (const { entry, lines } of this.#added) {
      entry.writing = false;
      if (!entry.removed) entry.waiting = entry.waiting === undefined ? lines : `${lines}\n${entry.waiting}`;
    }
  }

  #add(entry: Entry, lines: string): void {
    const value = entry.segments === 0 ? `${headLine(entry.head)}\n${lines}` : lines;
    const bytes = Buffer.byteLength(value);
    this.changes.push({ type: "put", key: segmentKey(entry.number, entry.segments), value });
    this.#added.push({ entry, lines, bytes });
    this.totals.segments++;
    this.totals.bytes += bytes;
    this.totals.numbers += entry.number;
    entry.waiting = undefined;
    entry.writing = true;
    entry.written = entry.segments + 1;
  }

  #remove(entry: Entry): void {
    for (let segment = 0; segment < entry.written; segment++) {
      this.changes.push({ type: "del", key: segmentKey(entry.number, segment) });
    }
    this.totals.segments -= entry.segments;
    this.totals.bytes -= entry.bytes;
    this.totals.numbers -= entry.segments * entry.number;
  }
}

/** Two publishes with the same idempotency key have one message id, and may wait at the same time. */
function idOf({ messageId, publishId }: RecordIdentity): string {
  return publishId ?? messageId;
}
