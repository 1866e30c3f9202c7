import { expect, test } from "vitest";
import { Workload } from "./workload.ts";

const forever = () => new Promise<void>(() => undefined);
const starts = (workload: Workload, times: number, work: () => Promise<void>) =>
  Array.from({ length: times }, () => workload.start(work)).filter(Boolean).length;

test("no more is worked on at a time than is allowed, and as much again when it is done", async () => {
  const workload = new Workload({ atATime: 3, perSecond: 1_000 }, () => 0);
  let done: () => void = () => undefined;
  const until = new Promise<void>((resolve) => {
    done = resolve;
  });
  expect(starts(workload, 10, () => until)).toBe(3);
  done();
  await expect.poll(() => workload.start(forever)).toBe(true);
});

test("no more is begun a second than is allowed, a burst of twice as many aside", () => {
  let now = 0;
  const workload = new Workload({ atATime: 1_000, perSecond: 10 }, () => now);
  expect(starts(workload, 100, forever)).toBe(20);
  now += 500;
  expect(starts(workload, 100, forever)).toBe(5);
  now += 60_000;
  expect(starts(workload, 100, forever)).toBe(20);
});
