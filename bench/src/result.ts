/** One line of `--json`; the form stays the same for every scenario. */
export interface Result {
  readonly scenario: string;
  /** What was measured: `kata`, what it is compared with in the same run, or one of them divided by the other. */
  readonly system: string;
  readonly metric: string;
  /** `ratio` where the runs of two systems are divided, pair by pair. */
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
    median: rounded(median),
    min: rounded(at(0)),
    max: rounded(at(sorted.length - 1)),
    runs: sorted.length,
  };
}

/** Whole numbers from a thousand on; of smaller ones, ratios among them, four digits say more than is known. */
function rounded(value: number): number {
  return Math.abs(value) >= 1_000 ? Math.round(value) : Number(value.toPrecision(4));
}

/** What the fraction `q` of the values does not exceed (nearest rank). */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

/** One result as a line for people. */
export function describe({ scenario, system, metric, unit, median, min, max, runs }: Result): string {
  const number = (value: number) => value.toLocaleString("en-US", { maximumFractionDigits: 4 });
  return `${scenario} · ${system} · ${metric}: ${number(median)} ${unit} (median of ${runs}; ${number(min)}–${number(max)})`;
}
