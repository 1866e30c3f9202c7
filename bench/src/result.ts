/** One line of `--json`; the form stays the same for every scenario. */
export interface Result {
  readonly scenario: string;
  /** What was measured: `kata`, or what it is compared with in the same run. */
  readonly system: string;
  readonly metric: string;
  readonly unit: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly runs: number;
}

/** Sums up the values of the runs. */
export function summarize(
  about: Pick<Result, "scenario" | "system" | "metric" | "unit">,
  values: readonly number[],
): Result {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  const median = (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2;
  return {
    scenario: about.scenario,
    system: about.system,
    metric: about.metric,
    unit: about.unit,
    median: Math.round(median),
    min: Math.round(at(0)),
    max: Math.round(at(sorted.length - 1)),
    runs: sorted.length,
  };
}

/** One result as a line for people. */
export function describe({ scenario, system, metric, unit, median, min, max, runs }: Result): string {
  const number = (value: number) => value.toLocaleString("en-US");
  return `${scenario} · ${system} · ${metric}: ${number(median)} ${unit} (median of ${runs}; ${number(min)}–${number(max)})`;
}
