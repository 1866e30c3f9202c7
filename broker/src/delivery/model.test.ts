import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { ModelCoverage } from "../testing/model-coverage.ts";
import { runSchedule } from "../testing/model-run.ts";
import { calmSchedules, faultySchedules, lossySchedules, type Schedule } from "../testing/model-steps.ts";

/** How many schedules all tests run together: 2,000 in CI, KATA_TEST_REPEAT times as many in the long form. */
const RUNS = Number(process.env.KATA_TEST_RUNS ?? 2_000) * Math.max(1, Number(process.env.KATA_TEST_REPEAT ?? 1));
/** What fast-check prints with a failure: repeats it, for one test chosen with -t. */
const { KATA_TEST_SEED: seed, KATA_TEST_PATH: path } = process.env;
const TIMEOUT_MS = 60_000 + RUNS * 100;

const coverage = new ModelCoverage();

afterAll(() => {
  if (process.env.KATA_TEST_COVERAGE !== undefined) console.info(coverage.summary());
});

async function expectAll(share: number, schedules: fc.Arbitrary<Schedule>, mayLose: boolean): Promise<void> {
  const property = fc.asyncProperty(schedules, async (schedule) => {
    const world = await runSchedule(schedule);
    // No resume that a client made up is told this, so without a loss nobody is.
    if (!mayLose) expect(world.rig.delivery.figures.gaps.expired).toBe(0);
    coverage.add(world);
  });
  await fc.assert(property, {
    numRuns: Math.ceil(RUNS * share),
    ...(seed === undefined ? {} : { seed: Number(seed) }),
    ...(path === undefined ? {} : { path }),
  });
}

test(
  "attacks invariants 1, 3, 4 and 5: in whatever order live records and answers come, everybody is sent exactly the log [ORDER-1] [ORDER-3] [CAUGHTUP-1] [PING-1]",
  () => expectAll(0.25, calmSchedules, false),
  TIMEOUT_MS,
);

test(
  "attacks invariants 1 to 5: whatever breaks on the way to the log, everybody is sent exactly the log, and no gap is told [RESUME-1] [SUBSCRIBE-8]",
  () => expectAll(0.25, faultySchedules, false),
  TIMEOUT_MS,
);

test(
  "attacks invariants 1 to 5: where the log itself loses records, a gap is told before the next event, and never without reason [RESUME-3] [RESUME-4] [RESUME-5] [RESUME-6]",
  () => expectAll(0.5, lossySchedules, true),
  TIMEOUT_MS,
);
