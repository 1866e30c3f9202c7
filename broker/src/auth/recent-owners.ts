/** Remembers for a while whose channels' owners changed: an answer that was on its way then may be the old one. */
export class RecentOwners {
  readonly #keptMs: number;
  /** When it was, by channel; the one that is longest ago comes first. */
  readonly #changed = new Map<string, number>();

  /** @param keptMs the longest that an answer takes, milliseconds */
  constructor(keptMs: number) {
    this.#keptMs = keptMs;
  }

  tell(channel: string): void {
    const now = performance.now();
    for (const [each, at] of this.#changed) {
      if (now - at <= this.#keptMs) break;
      this.#changed.delete(each);
    }
    // A Map keeps the order of insertion.
    this.#changed.delete(channel);
    this.#changed.set(channel, now);
  }

  /** Whether it changed at this time or later (`performance.now()`). */
  changedSince(channel: string, at: number): boolean {
    return (this.#changed.get(channel) ?? Number.NEGATIVE_INFINITY) >= at;
  }
}
