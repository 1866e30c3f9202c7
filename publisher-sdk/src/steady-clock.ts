/** Clocks that differ by less run side by side: the time of day is slewed a little, and in whole milliseconds. */
const TOLERANCE_MS = 100;

/**
 * Milliseconds since 1970 that are not set back. The time of day alone can be, and an attempt would seem younger than it is: where the
 * stream has forgotten its id, it would be stored twice. A monotonic clock alone stands still while the machine sleeps, which is
 * the same. So where the time of day has gone on by less than the monotonic clock, it is set right.
 */
export class SteadyClock {
  readonly #monotonic: () => number;
  #offset = 0;
  #lastWall: number;
  #lastMonotonic: number;

  constructor(wall: () => number = () => Date.now(), monotonic: () => number = () => performance.now()) {
    this.wall = wall;
    this.#monotonic = monotonic;
    this.#lastWall = wall();
    this.#lastMonotonic = monotonic();
  }

  /** The time of day. */
  readonly wall: () => number;

  /** As right as the last `check`. */
  readonly now = (): number => this.at(this.wall());

  /** What `now` is at a time of day: for whoever needs both, and asks the system once. */
  at(wall: number): number {
    return wall + this.#offset;
  }

  /** Notices that the time of day was set back. Called now and then, so that `now` need not ask two clocks. */
  check(): void {
    const wall = this.wall();
    const monotonic = this.#monotonic();
    const behind = monotonic - this.#lastMonotonic - (wall - this.#lastWall);
    if (behind > TOLERANCE_MS) this.#offset += behind;
    this.#lastWall = wall;
    this.#lastMonotonic = monotonic;
  }
}
