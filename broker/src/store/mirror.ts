import { type Bucket, type BucketChange, type BucketState, type BucketWatch, StoreUnavailableError } from "./bucket.ts";

export interface MirrorOptions<T> {
  readonly bucket: Bucket;
  /** What a value says; `undefined` for one that says nothing: it counts as absent. Must not throw. */
  readonly decode: (value: Uint8Array, key: string) => T | undefined;
  /** Told of each key that another value, or none, stands for now. Must not throw. */
  readonly onChange?: (key: string, now: T | undefined, before: T | undefined) => void;
  /** Between two looks at whether everything has come, milliseconds. */
  readonly auditIntervalMs: number;
  /** After so long without a look that found everything, nothing it holds is believed any more, milliseconds. */
  readonly staleMs: number;
}

/**
 * How much longer than until the next look a writer waits to see its own write, and how long a reading of the whole
 * bucket waits for what comes next, milliseconds.
 */
const REACH_MS = 5_000;

/**
 * A bucket's values in memory, kept up to date. Changes come by themselves; a look at the bucket every so often finds
 * those that got lost on the way. What it cannot vouch for it does not give.
 */
export class Mirror<T> {
  readonly #options: MirrorOptions<T>;
  readonly #values = new Map<string, T>();
  #watch: BucketWatch | undefined;
  /** The newest change that has come. */
  #revision = 0;
  /** The keys that the bucket holds a value or a mark of deletion for. */
  #keys = new Set<string>();
  /** Which bucket that is. */
  #incarnation: string | undefined;
  #confirmedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #closed = false;
  /** Counts the readings of the whole bucket: only the last counts. */
  #loads = 0;
  readonly #waiting = new Set<() => void>();

  private constructor(options: MirrorOptions<T>) {
    this.#options = options;
  }

  /** Resolves when it holds everything. @throws StoreUnavailableError */
  static async open<T>(options: MirrorOptions<T>): Promise<Mirror<T>> {
    const mirror = new Mirror(options);
    await mirror.#load();
    mirror.#timer = setInterval(() => void mirror.look(), options.auditIntervalMs);
    mirror.#timer.unref();
    return mirror;
  }

  /** @throws StoreUnavailableError if it is not known to be true any more */
  get(key: string): T | undefined {
    this.mustBeFresh();
    return this.#values.get(key);
  }

  /** @throws StoreUnavailableError if it is not known to be true any more */
  entries(): IterableIterator<[string, T]> {
    this.mustBeFresh();
    return this.#values.entries();
  }

  /** Whether what it holds is vouched for. */
  get fresh(): boolean {
    return performance.now() - this.#confirmedAt <= this.#options.staleMs;
  }

  /** Compares with the bucket, and reads it anew if something is missing; does nothing while it cannot be reached. */
  look(): Promise<void> {
    if (this.#looking !== undefined) return this.#looking;
    const looking = this.#look().finally(() => {
      if (this.#looking === looking) this.#looking = undefined;
    });
    this.#looking = looking;
    return looking;
  }

  /** The connection is back: whatever brought the changes may be gone, and what was asked before is not answered. */
  reconnected(): Promise<void> {
    this.#watch?.stop();
    this.#watch = undefined;
    this.#looking = undefined;
    return this.look();
  }

  /** Resolves when everything that was written before has come. @throws StoreUnavailableError */
  async caughtUp(): Promise<void> {
    const { revision } = await this.#options.bucket.state();
    await this.reached(revision);
  }

  /** Resolves when what was written with this revision has come. @throws StoreUnavailableError */
  async reached(revision: number): Promise<void> {
    if (this.#revision >= revision) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(check);
        reject(new StoreUnavailableError(`the bucket ${this.#options.bucket.name} does not tell its changes`));
      }, this.#options.auditIntervalMs + REACH_MS);
      const check = () => {
        if (this.#revision < revision) return;
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
    });
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#watch?.stop();
  }

  async #look(): Promise<void> {
    const askedAt = performance.now();
    try {
      const state = await this.#options.bucket.state();
      if (this.#closed) return;
      if (state.revision === this.#revision && this.#watch !== undefined && this.#sameLife(state)) {
        this.#confirmedAt = askedAt;
      } else await this.#load();
    } catch (error) {
      // Asked again at the next look; until then what it holds grows stale.
      if (!(error instanceof StoreUnavailableError)) throw error;
    }
  }

  async #load(): Promise<void> {
    const { bucket } = this.#options;
    const load = ++this.#loads;
    const askedAt = performance.now();
    const goal = await bucket.state();
    if (load !== this.#loads || this.#closed) return;
    this.#watch?.stop();
    this.#watch = undefined;
    // A bucket that was made anew counts from the start.
    this.#revision = 0;
    const seen = new Set<string>();
    let loaded = goal.entries === 0;
    const watch = await new Promise<BucketWatch>((resolve, reject) => {
      let started: BucketWatch | undefined;
      const fail = (why: string) => {
        clearTimeout(timer);
        // What still comes of it does not count, nor does a watch that begins now.
        if (load === this.#loads) this.#loads++;
        started?.stop();
        reject(new StoreUnavailableError(`the bucket ${bucket.name} ${why}`));
      };
      // A watch that begins and tells nothing, or never begins, would be waited for forever.
      const timer = setTimeout(() => fail("does not tell what it holds"), REACH_MS);
      timer.unref();
      const done = () => {
        if (!loaded || started === undefined) return;
        clearTimeout(timer);
        resolve(started);
      };
      const onChange = (change: BucketChange, pending: number) => {
        if (load !== this.#loads || this.#closed) return;
        timer.refresh();
        seen.add(change.key);
        this.#apply(change);
        loaded ||= pending === 0 || change.revision >= goal.revision;
        done();
      };
      bucket.watch(onChange).then(
        (each) => {
          if (load !== this.#loads || this.#closed) each.stop();
          else this.#watch = each;
          started = each;
          void each.ended.then(() => {
            if (!loaded) fail("could not be read to its end");
            if (this.#watch === each) this.#watch = undefined;
          });
          done();
        },
        (error: unknown) => {
          clearTimeout(timer);
          reject(error);
        },
      );
    });
    // Another one began meanwhile, and what came to this one has not been counted.
    if (load !== this.#loads || this.#closed) return watch.stop();
    this.#confirmedAt = askedAt;
    this.#incarnation = goal.incarnation;
    this.#keys = seen;
    // Its last write may be gone by now: what there is has come.
    this.#moved(goal.revision);
    for (const key of [...this.#values.keys()]) if (!seen.has(key)) this.#set(key, undefined);
  }

  /**
   * A deletion leaves a mark, so a bucket whose changes have all come holds as many entries as keys were seen, unless
   * somebody has emptied it: no watch tells that.
   */
  #sameLife({ incarnation, entries }: BucketState): boolean {
    return this.#incarnation === incarnation && entries === this.#keys.size;
  }

  #apply({ key, value, revision }: BucketChange): void {
    this.#set(key, value === undefined ? undefined : this.#options.decode(value, key));
    this.#moved(revision);
  }

  #moved(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
    for (const check of [...this.#waiting]) check();
  }

  #set(key: string, now: T | undefined): void {
    const before = this.#values.get(key);
    if (now === undefined) this.#values.delete(key);
    else this.#values.set(key, now);
    if (now !== undefined || before !== undefined) this.#options.onChange?.(key, now, before);
  }

  /** @throws StoreUnavailableError if what it holds is not known to be true any more */
  mustBeFresh(): void {
    if (!this.fresh) throw new StoreUnavailableError(`the bucket ${this.#options.bucket.name} was not heard of lately`);
  }
}
