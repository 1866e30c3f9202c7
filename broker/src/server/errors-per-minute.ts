const MINUTE_MS = 60_000;

/** Counts what happened within the last minute, up to a limit. */
export class ErrorsPerMinute {
  readonly #limit: number;
  #times: number[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Counts one more at `now` (ms); whether that is more than the limit allows. */
  exceededBy(now: number): boolean {
    this.#times = this.#times.filter((time) => now - time < MINUTE_MS);
    this.#times.push(now);
    return this.#times.length > this.#limit;
  }
}
