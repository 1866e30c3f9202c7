import { expect, test } from "vitest";
import {
  NEXT_REFRESH,
  NO_REFRESH,
  nextRefresh,
  type RefreshInput,
  type RefreshState,
  type RefreshStep,
} from "./refresh-state.ts";

const policy = { backoff: { minMs: 250, maxMs: 10_000 }, random: () => 1 };

const INPUTS = ["open", "warned", "token", "failed", "accepted", "refused", "due", "end"] as const;

// A row a step, in the order of INPUTS. Written out: a new step does not compile until somebody has said what happens.
const EXPECTED: Record<RefreshStep, string> = {
  off: "settling off off off off off off off",
  settling: "settling pausing settling settling settling settling resting off",
  resting: "resting asking resting resting resting resting resting off",
  asking: "asking asking offered pausing asking asking asking off",
  offered: "offered pausing offered offered settling pausing offered off",
  pausing: "pausing pausing pausing pausing pausing pausing asking off",
};

test.each(Object.entries(EXPECTED))("what each input does to credentials that are %s", (step, row) => {
  expect(Object.keys(NEXT_REFRESH[step as RefreshStep]).sort()).toEqual([...INPUTS].sort());
  const actual = INPUTS.map((input) => NEXT_REFRESH[step as RefreshStep][input]);
  expect(actual.join(" ")).toBe(row);
});

function after(...inputs: RefreshInput[]): RefreshState {
  return inputs.reduce((state, input) => nextRefresh(state, input, policy), NO_REFRESH);
}

test("an input that means nothing leaves the very same state", () => {
  const before = after("open", "due");
  expect(nextRefresh(before, "accepted", policy)).toBe(before);
});

test("what fails again and again is tried at growing distances", () => {
  let state = after("open", "due", "warned");
  const delays: number[] = [];
  for (const how of ["failed", "refused", "failed", "refused", "failed", "failed", "failed"] as const) {
    if (how === "refused") state = nextRefresh(state, "token", policy);
    state = nextRefresh(state, how, policy);
    delays.push(state.delayMs);
    state = nextRefresh(state, "due", policy);
  }
  expect(delays).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000]);
});

test("credentials that come with a warning each are not renewed at full speed", () => {
  let state = after("open");
  const delays: number[] = [];
  for (let i = 0; i < 4; i++) {
    state = nextRefresh(state, "warned", policy);
    delays.push(state.delayMs);
    for (const input of ["due", "token", "accepted"] as const) state = nextRefresh(state, input, policy);
  }
  expect(delays).toEqual([250, 500, 1_000, 2_000]);
});

test("credentials that last start the backoff anew", () => {
  const lasted = after("open", "warned", "due", "token", "accepted", "due");
  expect(lasted).toEqual({ step: "resting", failures: 0, delayMs: 0 });
});

test("whatever was asked and offered ends with the connection", () => {
  for (const row of Object.values(NEXT_REFRESH)) expect(row.end).toBe("off");
  expect(after("open", "warned", "end")).toEqual(NO_REFRESH);
});
