import { expect, test } from "vitest";
import { SteadyClock } from "./steady-clock.ts";

function rig() {
  const time = { wall: 1_000_000, monotonic: 5 };
  const clock = new SteadyClock(
    () => time.wall,
    () => time.monotonic,
  );
  /** Lets so much of it pass; `wall` is what the time of day makes of it. */
  const pass = (monotonic: number, wall = monotonic): number => {
    time.monotonic += monotonic;
    time.wall += wall;
    clock.check();
    return clock.now();
  };
  return { pass, clock };
}

test("is the time of day, slewed or not", () => {
  const { pass } = rig();
  expect(pass(1_000)).toBe(1_001_000);
  expect(pass(1_000, 950)).toBe(1_001_950);
});

test("goes on where the time of day is set back", () => {
  const { pass } = rig();
  expect(pass(250, -3_600_000)).toBe(1_000_250);
  expect(pass(1_000)).toBe(1_001_250);
  expect(pass(250, -60_000)).toBe(1_001_500);
});

test("goes on while the machine sleeps, which stops a monotonic clock", () => {
  const { pass } = rig();
  expect(pass(10, 600_000)).toBe(1_600_000);
});
