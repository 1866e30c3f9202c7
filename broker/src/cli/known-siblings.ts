import type { Standing } from "./file-place.ts";
import { type FileFacts, type FileId, factsAt, sameFile } from "./open-file.ts";
import { isRotation } from "./rotation-scheme.ts";
import { changedBeside, keyOf, type Sibling, siblingsOf } from "./siblings.ts";

/** So many files are told of to whoever goes on, those that were written to last: the others will hardly be again. */
const OLDER_TOLD = 256;

/**
 * What is known of the files beside a log: which of them did not come after the file that is read, being earlier rotations or other
 * programs' logs, and how the log's own are called.
 */
export class KnownSiblings {
  readonly #path: string;
  #older: Set<string>;
  #scheme: string | undefined;
  #complete: boolean;
  /** As of when, by the directory. */
  #lookedAt: bigint | undefined;

  constructor(path: string, { older, scheme }: Pick<Standing, "older" | "scheme">) {
    this.#path = path;
    this.#older = new Set(older);
    this.#scheme = scheme;
    this.#complete = older !== undefined;
  }

  /** Before a log is opened: what is rotated from then on is not older. */
  static async asOfNow(path: string): Promise<KnownSiblings> {
    return new KnownSiblings(path, { older: (await siblingsOf(path)).map(keyOf) });
  }

  /** For whoever goes on. */
  get told(): { readonly older: readonly string[]; readonly scheme: string | undefined } {
    return { older: [...this.#older].slice(-OLDER_TOLD), scheme: this.#scheme };
  }

  /** Whether all are known that did not come after the file: not so where one that was rotated is gone on with. */
  get complete(): boolean {
    return this.#complete;
  }

  isOlder(file: FileId): boolean {
    return this.#older.has(keyOf(file));
  }

  /** Whether it is called like the log's own rotated files, and none of the older. */
  mayFollow(sibling: Sibling): boolean {
    return isRotation(sibling.scheme, this.#scheme) && !this.isOlder(sibling);
  }

  /** Where the file that is read is gone, and with it how it was called, any may have come after it. */
  mayFollowGone(sibling: Sibling): boolean {
    return this.#scheme === undefined ? !this.isOlder(sibling) : this.mayFollow(sibling);
  }

  /** One was seen that surely is the log's own, and is called in this way. */
  learn(scheme: string | undefined): void {
    this.#scheme = scheme ?? this.#scheme;
  }

  /** It was read, and what follows it is. */
  passed(file: FileId): void {
    this.#older.add(keyOf(file));
    this.#complete = true;
  }

  /** The file begins anew: nothing that is there now came after that. */
  async beginAnew(): Promise<void> {
    this.#older = new Set((await siblingsOf(this.#path)).map(keyOf));
  }

  /**
   * While the file that is read still has the log's name, nothing has come after it: what is beside it is older. Resolves with what
   * has the name.
   *
   * @param untouched whether it can be said of the file, as it is now, that it was not copied and cut
   */
  async look(file: FileId, untouched: (now: FileFacts) => boolean): Promise<FileFacts | undefined> {
    const changedAt = await changedBeside(this.#path);
    const unchanged = changedAt !== undefined && changedAt === this.#lookedAt;
    const siblings = unchanged ? undefined : await siblingsOf(this.#path);
    // Asked after they were looked at: what is renamed later is not among them.
    const now = await factsAt(this.#path);
    if (siblings === undefined || now === undefined || !sameFile(now, file) || !untouched(now)) return now;
    // Where the name is a link to one of them, it can lead next to one that is there already.
    const place = siblings.findIndex((one) => sameFile(one, now));
    this.#older = new Set((place < 0 ? siblings : siblings.slice(0, place)).map(keyOf));
    this.#complete = true;
    this.#lookedAt = changedAt;
    return now;
  }
}
