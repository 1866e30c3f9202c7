import { TokenBucket } from "./token-bucket.ts";

/** Some 100 bytes each. */
const MAX_KEYS = 50_000;

export interface BucketsOptions {
  /** 0: no limit. */
  readonly perSecond: number;
  /** What can be saved up. */
  readonly most: number;
  /** So many are remembered; default 50,000. The one that was asked for longest ago is forgotten, and is full again. */
  readonly maxKeys?: number;
}

/** A token bucket for each key, of as many keys as fit, whoever makes them up. */
export class Buckets {
  readonly #perSecond: number;
  readonly #most: number;
  readonly #maxKeys: number;
  /** The one that was asked for longest ago comes first. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor({ perSecond, most, maxKeys = MAX_KEYS }: BucketsOptions) {
    this.#perSecond = perSecond;
    this.#most = most;
    this.#maxKeys = maxKeys;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  take(key: string, now: number, amount = 1): boolean {
    return this.#perSecond === 0 || this.#of(key, now).take(now, amount);
  }

  /** Milliseconds until there is something to take; 0: now. A key that nobody took from is not remembered for it. */
  waitMs(key: string, now: number): number {
    return this.#buckets.get(key)?.waitMs(now) ?? 0;
  }

  /** As of a {@link TokenBucket}: how much of it was taken, for somebody who can wait. */
  takeSome(key: string, now: number, amount: number): number {
    return this.#perSecond === 0 ? amount : this.#of(key, now).takeSome(now, amount);
  }

  waitForSomeMs(key: string, now: number): number {
    return this.#buckets.get(key)?.waitForSomeMs(now) ?? 0;
  }

  #of(key: string, now: number): TokenBucket {
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = new TokenBucket(this.#perSecond, this.#most, now);
      if (this.#buckets.size >= this.#maxKeys) {
        const [oldest] = this.#buckets.keys();
        if (oldest !== undefined) this.#buckets.delete(oldest);
      }
    } else this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    return bucket;
  }
}
