import { onTestFailed } from "vitest";

/** Evenly in [0, 1), the same sequence for the same seed. */
export type Random = () => number;

/**
 * Randomness of a test, printed if it fails. `KATA_TEST_SEED` repeats a run. Call it inside the test.
 */
export function seededRandom(): Random {
  const seed =
    process.env.KATA_TEST_SEED === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(process.env.KATA_TEST_SEED);
  onTestFailed(() => console.error(`repeat with KATA_TEST_SEED=${seed}`));
  return randomFrom(seed);
}

/** A sequence of its own for whoever acts at the same time as others, so that a seed says what each of them does. */
export function randomFrom(seed: number): Random {
  let state = seed | 0;
  // mulberry32
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How often a fault test repeats itself: once in CI, `KATA_TEST_REPEAT` times in the long form. */
export const REPEAT = Math.max(1, Number(process.env.KATA_TEST_REPEAT ?? 1));
