import { performance } from "node:perf_hooks";

/** How many measurements count: the shortest of them. */
const KEPT = 8;

/**
 * How long the way to the server and back is. What counts of a round trip is the time in which this process had nothing else to do: while it
 * is busy, an answer lies unread, and the way seems longer than it is. Where it is busy all the time it is not the way that holds
 * it up, whatever that is.
 */
export class RoundTrips {
  readonly #ping: () => Promise<void>;
  readonly #stopwatch: () => () => number;
  #measured: number[] = [];
  #shortestMs = 0;
  #pending = false;

  /**
   * @param ping resolves when the server has answered
   * @param stopwatch starts one that tells for how long this process has had nothing to do since, milliseconds
   */
  constructor(ping: () => Promise<void>, stopwatch: () => () => number = idleStopwatch) {
    this.#ping = ping;
    this.#stopwatch = stopwatch;
  }

  /** Milliseconds; 0 before anything is known. */
  get roundTripMs(): number {
    return this.#shortestMs;
  }

  /** Measures one more, unless it is still at it. */
  measure(): void {
    if (this.#pending) return;
    this.#pending = true;
    const idleMs = this.#stopwatch();
    this.#ping().then(
      () => this.#done(idleMs()),
      // Not connected: the next one may tell.
      () => this.#done(undefined),
    );
  }

  #done(roundTripMs: number | undefined): void {
    this.#pending = false;
    if (roundTripMs === undefined) return;
    this.#measured.push(roundTripMs);
    if (this.#measured.length > KEPT) this.#measured.shift();
    this.#shortestMs = Math.min(...this.#measured);
  }
}

function idleStopwatch(): () => number {
  const before = performance.eventLoopUtilization();
  return () => performance.eventLoopUtilization(before).idle;
}
