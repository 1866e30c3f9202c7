import { expect, test } from "vitest";
import type { Lane } from "./lane.ts";
import { Lanes } from "./lanes.ts";

function rig() {
  const opened: string[] = [];
  const lanes = new Lanes((channel) => {
    opened.push(channel);
    return { channel, busy: false } as Lane;
  });
  const fill = (from: number, to: number) => {
    for (let i = from; i < to; i++) lanes.of(`agent:${i}`);
  };
  return { lanes, opened, fill };
}

test("a lane with something in it is the only one of its channel, however many others are opened", () => {
  const { lanes, opened, fill } = rig();
  const kept = lanes.of("agent:kept");
  lanes.enter(kept);
  fill(0, 5_000);
  expect(lanes.of("agent:kept")).toBe(kept);
  expect(lanes.busy).toBe(1);
  expect([...lanes]).toContain(kept);
  expect(opened).toHaveLength(5_001);
});

test("of those with nothing in them a thousand are kept at most", () => {
  const { lanes, opened, fill } = rig();
  fill(0, 1_000);
  fill(0, 1_000);
  expect(opened).toHaveLength(1_000);
  fill(1_000, 10_000);
  expect([...lanes].length).toBeLessThanOrEqual(1_000);
  // Also of those that had something in them.
  const all = Array.from({ length: 5_000 }, (_, i) => {
    const lane = lanes.of(`spec:${i}`);
    lanes.enter(lane);
    return lane;
  });
  for (const lane of all) lanes.leave(lane);
  expect([...lanes].length).toBeLessThanOrEqual(1_000);
});

test("a lane counts once, however often it is entered and left", () => {
  const { lanes } = rig();
  const lane = lanes.of("agent:a");
  lanes.enter(lane);
  lanes.enter(lane);
  expect(lanes.busy).toBe(1);
  lanes.leave(lane);
  lanes.leave(lane);
  expect(lanes.busy).toBe(0);
});

test("a channel that there can be no lane of is refused by whoever opens it, and left out", () => {
  const lanes = new Lanes(() => {
    throw new TypeError("no channel");
  });
  expect(() => lanes.of("x")).toThrow("no channel");
  expect([...lanes]).toEqual([]);
});
