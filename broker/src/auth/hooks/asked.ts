import { Recent } from "./recent.ts";

export interface AskedOptions<T> {
  /** How long an answer is believed, milliseconds. */
  readonly cacheMs: number;
  /** The same for `undefined`, milliseconds. */
  readonly unknownCacheMs: number;
  /** Answers that are kept, and as many `undefined`. */
  readonly entries: number;
  /** When an answer is true no longer in any case, milliseconds since 1970; `undefined` for never. */
  readonly expiryOf: (answer: T) => number | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Questions of one kind: equal ones share one asking, and its answer for a while. One that failed is not kept. */
export class Asked<T> {
  readonly #options: AskedOptions<T>;
  readonly #known: Recent<T>;
  /** Apart from the others: whoever guesses must not push out what is known. */
  readonly #unknown: Recent<undefined>;
  readonly #asking = new Map<string, Promise<T | undefined>>();

  constructor(options: AskedOptions<T>) {
    this.#options = options;
    this.#known = new Recent(options.entries);
    this.#unknown = new Recent(options.entries);
  }

  async answer(key: string, ask: () => Promise<T | undefined>): Promise<T | undefined> {
    const askedAt = this.#options.now();
    const kept = this.#known.get(key, askedAt) ?? this.#unknown.get(key, askedAt);
    if (kept !== undefined) return kept.value;
    let asking = this.#asking.get(key);
    if (asking === undefined) {
      asking = this.#ask(key, ask, askedAt).finally(() => this.#asking.delete(key));
      this.#asking.set(key, asking);
    }
    return asking;
  }

  async #ask(key: string, ask: () => Promise<T | undefined>, askedAt: number): Promise<T | undefined> {
    const { cacheMs, unknownCacheMs, expiryOf, now } = this.#options;
    const answer = await ask();
    // Its time began with the question: what was true then may be so no longer.
    if (answer === undefined) this.#unknown.set(key, undefined, askedAt + unknownCacheMs, now());
    else this.#known.set(key, answer, Math.min(askedAt + cacheMs, expiryOf(answer) ?? Number.POSITIVE_INFINITY), now());
    return answer;
  }
}
