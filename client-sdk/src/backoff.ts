/** How long to wait before trying again, in milliseconds. */
export interface Backoff {
  /** The bound of the first delay. */
  readonly minMs: number;
  /** The bound that later delays do not exceed. */
  readonly maxMs: number;
}

/**
 * Exponential backoff with full jitter: evenly spread over `[0, min(maxMs, minMs · 2^failures))`. Full jitter spreads
 * a crowd that was cut off at one moment best (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog 2015).
 *
 * @param failures how many attempts have failed in a row before, from 0
 * @param random evenly in `[0, 1)`
 * @returns milliseconds
 */
export function backoffDelay(failures: number, backoff: Backoff, random: () => number): number {
  return random() * Math.min(backoff.maxMs, backoff.minMs * 2 ** failures);
}
