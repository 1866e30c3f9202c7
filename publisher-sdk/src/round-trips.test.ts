import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { RoundTrips } from "./round-trips.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("the shortest of the last ones counts, and one that got no answer does not", async () => {
  const answers: (number | Error)[] = [7, 3, new Error("not connected"), 9, ...Array(8).fill(5)];
  let next = 0;
  const way = new RoundTrips(
    async () => {
      const answer = answers[next];
      if (answer instanceof Error) throw answer;
    },
    () => () => answers[next] as number,
  );
  expect(way.roundTripMs).toBe(0);
  const expected = [7, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5];
  for (; next < answers.length; next++) {
    way.measure();
    await turn();
    expect(way.roundTripMs).toBe(expected[next]);
  }
});

test("one at a time, however long it takes", async () => {
  const pings: (() => void)[] = [];
  const way = new RoundTrips(() => new Promise((resolve) => pings.push(resolve)));
  way.measure();
  way.measure();
  expect(pings).toHaveLength(1);
  pings[0]?.();
  await turn();
  way.measure();
  expect(pings).toHaveLength(2);
});

test("time in which this process is busy does not count, time in which it waits does", async () => {
  const busy = new RoundTrips(async () => {
    const until = performance.now() + 50;
    while (performance.now() < until);
  });
  busy.measure();
  await turn();
  expect(busy.roundTripMs).toBeLessThan(25);
  const waiting = new RoundTrips(() => delay(50));
  const measured = () => {
    waiting.measure();
    return waiting.roundTripMs;
  };
  // A process that does not get its turn is busy, too: such a measurement has to be gone from among the last ones.
  await expect.poll(measured).toBeGreaterThan(25);
});
