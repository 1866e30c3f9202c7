import type { Clock } from "../delivery/clock.ts";

/** Time that stands still until a test lets it pass. */
export class ManualClock implements Clock {
  readonly #timers = new Set<{ readonly at: number; readonly work: () => void }>();
  #now: number;

  constructor(now = 1_700_000_000_000) {
    this.#now = now;
  }

  /** ms since 1970. */
  get now(): number {
    return this.#now;
  }

  after(ms: number, work: () => void): () => void {
    const timer = { at: this.#now + ms, work };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  random(): number {
    return 0.5;
  }

  /** Everything that comes due on the way is called, in its order. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.work();
    }
    this.#now = until;
  }
}
