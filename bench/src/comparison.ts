import type { Measured } from "./measure.ts";
import { type Result, summarize } from "./result.ts";

export const KATA = "kata";
export const BARE = "bare uWebSockets.js";

/** One run of both systems, right after each other, and how many events all readers together were given in each. */
export interface Pair {
  readonly kata: Measured;
  readonly bare: Measured;
  readonly deliveries: number;
}

/**
 * Speed and cost of both, and how near Kata is to the limit: `kata / bare` of the speed, `bare / kata` of the cost, so that 1 is
 * the limit in both. Ratios are taken within a pair of runs: what disturbs a shared machine for long disturbs both.
 */
export function compareRuns(scenario: string, what: string, pairs: readonly Pair[]): Result[] {
  const speed = { scenario, metric: `${what} deliveries`, unit: "million/s" };
  const cost = { scenario, metric: `${what} CPU`, unit: "s/million deliveries" };
  const rate = ({ seconds }: Measured, { deliveries }: Pair) => deliveries / 1e6 / seconds;
  const price = ({ cpuSeconds }: Measured, { deliveries }: Pair) => cpuSeconds / (deliveries / 1e6);
  const of = (value: (pair: Pair) => number) => pairs.map(value);
  return [
    summarize(
      { ...speed, system: KATA },
      of((pair) => rate(pair.kata, pair)),
    ),
    summarize(
      { ...speed, system: BARE },
      of((pair) => rate(pair.bare, pair)),
    ),
    summarize(
      { ...speed, system: "kata / bare", unit: "ratio" },
      of(({ kata, bare }) => bare.seconds / kata.seconds),
    ),
    summarize(
      { ...cost, system: KATA },
      of((pair) => price(pair.kata, pair)),
    ),
    summarize(
      { ...cost, system: BARE },
      of((pair) => price(pair.bare, pair)),
    ),
    summarize(
      { ...cost, system: "bare / kata", unit: "ratio" },
      of(({ kata, bare }) => bare.cpuSeconds / kata.cpuSeconds),
    ),
  ];
}
