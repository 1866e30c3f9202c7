/** How much is worked on: so many at a time, and so many a second. */
export interface WorkloadLimits {
  readonly atATime: number;
  /** On average; a burst may be twice as many. */
  readonly perSecond: number;
}

/** Keeps what strangers can make this process do within bounds. */
export class Workload {
  readonly #limits: WorkloadLimits;
  readonly #now: () => number;
  #running = 0;
  #credit: number;
  #creditAt: number;

  /** @param now milliseconds, monotonic; default `performance.now` */
  constructor(limits: WorkloadLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
    this.#credit = 2 * limits.perSecond;
    this.#creditAt = now();
  }

  /** Does the work, unless that is more than the limits allow: then it returns `false`, and nothing is done. */
  start(work: () => Promise<void>): boolean {
    const { atATime, perSecond } = this.#limits;
    const now = this.#now();
    this.#credit = Math.min(2 * perSecond, this.#credit + ((now - this.#creditAt) / 1_000) * perSecond);
    this.#creditAt = now;
    if (this.#running >= atATime || this.#credit < 1) return false;
    this.#credit--;
    this.#running++;
    void work().finally(() => {
      this.#running--;
    });
    return true;
  }
}
