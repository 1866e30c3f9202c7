/**
 * So much a second, and for a while as much as was saved up. One that has a little left gives everything it is asked
 * for and owes the rest, so that something larger than what it can hold comes through, too.
 */
export class TokenBucket {
  readonly #perMs: number;
  readonly #most: number;
  #tokens: number;
  #at: number;

  /** Full at the beginning. `now` is a monotonic time in milliseconds, here and everywhere. */
  constructor(perSecond: number, most: number, now: number) {
    this.#perMs = perSecond / 1_000;
    this.#most = most;
    this.#tokens = most;
    this.#at = now;
  }

  /** Takes, if there is anything to take. */
  take(now: number, amount = 1): boolean {
    this.#fill(now);
    if (this.#tokens < 1) return false;
    this.#tokens -= amount;
    return true;
  }

  /** Milliseconds until there is something to take; 0: now. */
  waitMs(now: number): number {
    this.#fill(now);
    return this.#tokens >= 1 ? 0 : (1 - this.#tokens) / this.#perMs;
  }

  /**
   * Takes for somebody who can wait, and leaves something for those who cannot: from a bucket that is half full or more, a quarter of what
   * it can hold at most. Returns how much it took.
   */
  takeSome(now: number, amount: number): number {
    if (this.waitForSomeMs(now) > 0) return 0;
    const taken = Math.min(amount, Math.ceil(this.#most / 4));
    this.#tokens -= taken;
    return taken;
  }

  /** Milliseconds until {@link takeSome} takes something; 0: now. */
  waitForSomeMs(now: number): number {
    this.#fill(now);
    return Math.max(0, this.#most / 2 - this.#tokens) / this.#perMs;
  }

  #fill(now: number): void {
    this.#tokens = Math.min(this.#most, this.#tokens + Math.max(0, now - this.#at) * this.#perMs);
    this.#at = now;
  }
}
