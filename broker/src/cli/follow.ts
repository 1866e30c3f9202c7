import { setTimeout as rest } from "node:timers/promises";
import { ByteWindow } from "./byte-window.ts";
import { digestOf, type FilePlace, locate, readBefore, type Standing } from "./file-place.ts";
import { KnownSiblings } from "./known-siblings.ts";
import { startOfLastLine } from "./last-line.ts";
import { earliest, openOrWait } from "./next-file.ts";
import { type FileFacts, factsOf, MissingFile, type OpenFile, openFile, sameFile, unreadable } from "./open-file.ts";
import { schemeOf } from "./rotation-scheme.ts";
import { keyOf } from "./siblings.ts";
import type { Source } from "./source.ts";
import { copyOfUnread } from "./unread-copy.ts";
import { UsageError } from "./usage-error.ts";

/** How often a followed file is looked at for more, milliseconds. */
const POLL_MS = 100;
const CHUNK_BYTES = 256 * 1024;

export interface FollowOptions {
  readonly path: string;
  /** Ends the following: what the file holds at that moment is still given. */
  readonly signal: AbortSignal;
  /** Where to begin; `end` is before a last line that has no line feed yet. */
  readonly from: "start" | "end" | Standing;
  /** Whether a file that is not there is waited for. */
  readonly retry: boolean;
  /** Whether at the end a last line without a line feed is left where it is, for whoever goes on from there. */
  readonly leaveUnfinished: boolean;
  /** Told what a person should know, one line. */
  readonly tell: (line: string) => void;
  /** Told where lines are, or may be, lost, one line. */
  readonly lost: (line: string) => void;
}

/** A followed file, of which it is known where its bytes stand. */
export interface FollowedSource extends Source {
  /** Where `bytes` begins. */
  readonly place: FilePlace;
  /** The same with what is known of the files beside it: for whoever goes on from there. */
  readonly standing: Standing;
}

/**
 * The bytes of a file, and then what is appended to it. Another file that takes its place (log rotation) is read after the
 * rest of the old one and of those that came and went in between; a file that was cut short is read anew, after what a copy
 * of it still holds. `undefined` if there was no such file when the signal ended the waiting for it.
 *
 * @throws UsageError if there is no such file, or it cannot be read
 */
export async function followFile(options: FollowOptions): Promise<FollowedSource | undefined> {
  const { path, from, lost } = options;
  if (typeof from === "object") {
    const known = new KnownSiblings(path, from);
    const found = await locate(from, path);
    if (found !== undefined) {
      known.learn(schemeOf(path, found.path));
      return await FollowedFile.begin(found, from.offset, known, options);
    }
    const current = await openOrWait(options);
    if (current === undefined) return undefined;
    lost(`what stood in ${path} behind byte ${from.offset} is not to be found: lines may be missing`);
    return await FollowedFile.begin(await earliest(current, from, known, options), 0, known, options);
  }
  const known = await KnownSiblings.asOfNow(path);
  const current = await openOrWait(options);
  if (current === undefined) return undefined;
  if (from === "end") return await FollowedFile.begin(current, await startOfLastLine(current), known, options);
  return await FollowedFile.begin(await earliest(current, undefined, known, options), 0, known, options);
}

class FollowedFile implements FollowedSource {
  readonly #options: FollowOptions;
  readonly #window = new ByteWindow();
  readonly #scratch = Buffer.allocUnsafe(CHUNK_BYTES);
  #file: OpenFile;
  /** As it was when it was last read. */
  #facts: FileFacts;
  /** How many of its bytes were read. */
  #read = 0;
  /** What is to be read after it. */
  #following: OpenFile | undefined;
  /** How far it is read after the signal: whoever writes on cannot keep us. */
  #limit = Number.POSITIVE_INFINITY;
  /** The files beside it. */
  readonly #known: KnownSiblings;
  /** An empty file that has the name, and nothing came in between: {@link keyOf}. */
  #empty = "";
  /** Whether another file has the name, and this one was looked at again since. */
  #replaced = false;
  /** Whether what follows is a copy of it. */
  #copied = false;
  #refusal = "";
  ended = false;

  private constructor(file: OpenFile, facts: FileFacts, known: KnownSiblings, options: FollowOptions) {
    this.#file = file;
    this.#facts = facts;
    this.#known = known;
    this.#options = options;
  }

  static async begin(
    file: OpenFile,
    offset: number,
    known: KnownSiblings,
    options: FollowOptions,
  ): Promise<FollowedFile> {
    const { from } = options;
    const facts = await factsOf(file.handle);
    // Left before anything was read of it: what was written to it since, a copy may have.
    const unread = offset === 0 && typeof from === "object" && from.older !== undefined && sameFile(file, from);
    const self = new FollowedFile(file, unread ? { ...facts, mtimeMs: from.mtimeMs } : facts, known, options);
    self.#window.begin(await readBefore(file, offset));
    self.#read = offset;
    await self.#lookBeside();
    return self;
  }

  get bytes(): Buffer {
    return this.#window.bytes;
  }

  get begins(): boolean {
    return this.#read === this.#window.length;
  }

  get place(): FilePlace {
    const { path, dev, ino, bornAt } = this.#file;
    const offset = this.#read - this.#window.length;
    return { path, dev, ino, bornAt, offset, before: digestOf(this.#window.before), mtimeMs: this.#facts.mtimeMs };
  }

  get standing(): Standing {
    return { ...this.place, ...this.#known.told };
  }

  take(count: number): void {
    this.#window.take(count);
  }

  async more(): Promise<boolean> {
    try {
      for (;;) {
        if (this.ended && !(await this.#next())) return false;
        if (await this.#readOn()) return true;
        if (this.#following !== undefined || (await this.#isOver())) {
          this.ended = true;
          return true;
        }
        if (this.#replaced) continue;
        if (this.#options.signal.aborted) {
          if (this.#options.leaveUnfinished) return false;
          this.ended = true;
          return true;
        }
        await rest(POLL_MS, undefined, { signal: this.#options.signal }).catch(() => undefined);
      }
    } catch (error) {
      throw unreadable(this.#file.path, error);
    }
  }

  async close(): Promise<void> {
    await this.#file.handle.close();
    await this.#following?.handle.close();
  }

  /** Goes on to the next file. `false` if there is none. */
  async #next(): Promise<boolean> {
    const next = this.#following;
    if (next === undefined) return false;
    this.#following = undefined;
    if (next !== this.#file) {
      // One that was left for its copy is come back to.
      if (!this.#copied) this.#known.passed(this.#file);
      this.#copied = false;
      await this.#file.handle.close();
    }
    this.#file = next;
    this.#facts = await factsOf(next.handle);
    this.#read = 0;
    this.#limit = Number.POSITIVE_INFINITY;
    this.#replaced = false;
    this.#window.begin();
    this.ended = false;
    return true;
  }

  /** Reads what is there. `false` if it is nothing. */
  async #readOn(): Promise<boolean> {
    const { handle } = this.#file;
    if (this.#options.signal.aborted && this.#limit === Number.POSITIVE_INFINITY) {
      this.#limit = (await factsOf(handle)).size;
    }
    // What was read last is read again with what follows, by one call: a file that was cut and written anew is noticed
    // also where it is longer than before already.
    const known = this.#window.tail;
    const length = Math.min(this.#scratch.length, known.length + Math.max(0, this.#limit - this.#read));
    const { bytesRead } = await handle.read(this.#scratch, 0, length, this.#read - known.length);
    if (bytesRead < known.length || !known.equals(this.#scratch.subarray(0, known.length))) {
      await this.#wasCut();
      return false;
    }
    const chunk = this.#scratch.subarray(known.length, bytesRead);
    if (this.#read === 0 && (await this.#wasCopied(chunk))) return false;
    if (chunk.length === 0) return false;
    this.#window.push(chunk);
    this.#read += bytesRead - known.length;
    this.#facts = await factsOf(handle);
    return true;
  }

  /** The file holds something else now. Whoever rotates by copying has made a copy first: it has what was not read yet. */
  async #wasCut(): Promise<void> {
    const { path } = this.#options;
    const { size } = this.#facts;
    const all = { ...this.standing, offset: this.#read, before: digestOf(this.#window.tail) };
    const copy = await locate(all, path);
    if (copy !== undefined) {
      await this.#file.handle.close();
      this.#file = copy;
      this.#facts = await factsOf(copy.handle);
      this.#known.learn(schemeOf(path, copy.path));
      this.#limit = Number.POSITIVE_INFINITY;
      return;
    }
    if (size > this.#read) {
      this.#options.lost(
        `${path} was cut short when ${size - this.#read} bytes of it were not read yet: lines are missing`,
      );
    }
    this.#following = this.#file;
    await this.#known.beginAnew();
  }

  /** Whether it was copied and cut before anything of it was read: then the copy is what follows. */
  async #wasCopied(beginning: Buffer): Promise<boolean> {
    const { path } = this.#options;
    this.#following = await copyOfUnread(path, this.#file, this.#facts, beginning, this.#known);
    this.#copied = this.#following !== undefined;
    return this.#copied;
  }

  /** Resolves with what has the name now. */
  #lookBeside(): Promise<FileFacts | undefined> {
    // One of which something was read tells itself that it was cut.
    return this.#known.look(this.#file, ({ mtimeMs }) => this.#read > 0 || mtimeMs === this.#facts.mtimeMs);
  }

  /** Whether another file has taken this one's place, and this one has nothing more: then it is known what follows. */
  async #isOver(): Promise<boolean> {
    const now = await this.#lookBeside();
    const still = now === undefined || sameFile(now, this.#file) || (now.size === 0 && keyOf(now) === this.#empty);
    if (still) {
      this.#replaced = false;
      return false;
    }
    // Acted upon after one more look at the old file: it was written to until the moment it was replaced.
    this.#replaced = !this.#replaced;
    if (this.#replaced) return false;
    this.#following = await this.#findNext();
    return this.#following !== undefined;
  }

  async #findNext(): Promise<OpenFile | undefined> {
    const current = await this.#openAgain();
    if (current === undefined) return undefined;
    this.#facts = await factsOf(this.#file.handle);
    const next = await earliest(current, this.#facts, this.#known, this.#options);
    const facts = await factsOf(next.handle);
    if (next !== current || facts.size > 0) return next;
    // It may just have been made, while whoever writes still has the old one.
    this.#empty = keyOf(facts);
    await current.handle.close();
    return undefined;
  }

  async #openAgain(): Promise<OpenFile | undefined> {
    try {
      const file = await openFile(this.#options.path);
      this.#refusal = "";
      return file;
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      // One that is gone again already will come; one that may not be read is the matter of a person.
      if (error.message !== this.#refusal && !(error instanceof MissingFile)) {
        this.#refusal = error.message;
        this.#options.tell(`${error.message}; trying until it can be`);
      }
      return undefined;
    }
  }
}
