const MIN_MS = 50;
const MAX_MS = 2_000;

/** How long to wait after the n-th failure in a row (from 0), milliseconds: exponential with full jitter. */
export function backoffMs(failures: number, random: () => number = Math.random): number {
  return random() * Math.min(MAX_MS, MIN_MS * 2 ** Math.min(failures, 30));
}
