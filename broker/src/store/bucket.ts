/** A value and which write made it. */
export interface BucketEntry {
  readonly key: string;
  readonly value: Uint8Array;
  /** Greater than that of every earlier write to the bucket. */
  readonly revision: number;
}

/** What became of a key: a new value, or none (`value` undefined). */
export interface BucketChange {
  readonly key: string;
  readonly value: Uint8Array | undefined;
  readonly revision: number;
}

/** How far a bucket has come. */
export interface BucketState {
  /** The revision of its newest write. */
  readonly revision: number;
  /** How many keys it holds a value or a mark of deletion for. */
  readonly entries: number;
  /** Which one it is: a bucket that was made anew has another. */
  readonly incarnation: string;
}

export interface BucketWatch {
  /** Resolves when no further change comes: it was stopped, or has failed. */
  readonly ended: Promise<void>;
  stop(): void;
}

/**
 * A durable map that every broker shares. Keys are tokens of `[A-Za-z0-9_=-]` with dots between. Every method rejects
 * with {@link StoreUnavailableError} while the store cannot answer.
 */
export interface Bucket {
  readonly name: string;
  /** From the leader: what was written before is seen. */
  get(key: string): Promise<BucketEntry | undefined>;
  /** The revision, or `undefined` if the key has a value already. */
  create(key: string, value: Uint8Array): Promise<number | undefined>;
  /** The revision, or `undefined` if the key's value is not that of `revision` any more. */
  update(key: string, value: Uint8Array, revision: number): Promise<number | undefined>;
  /** Whether it was deleted: `false` if the key's value is not that of `revision` any more. */
  delete(key: string, revision: number): Promise<boolean>;
  state(): Promise<BucketState>;
  /** Hands on every key's newest change, then every further one, in order of their revisions. */
  watch(onChange: (change: BucketChange, pending: number) => void): Promise<BucketWatch>;
}

/** The store cannot answer now; asking again later is right. */
export class StoreUnavailableError extends Error {
  readonly code = "unavailable";
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StoreUnavailableError";
  }
}
