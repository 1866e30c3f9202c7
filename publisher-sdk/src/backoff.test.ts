import { expect, test } from "vitest";
import { backoffMs } from "./backoff.ts";

test("grows exponentially up to two seconds, with full jitter", () => {
  const longest = [0, 1, 2, 5, 6, 50, 1e6].map((failures) => backoffMs(failures, () => 1));
  expect(longest).toEqual([50, 100, 200, 1600, 2000, 2000, 2000]);
  expect(backoffMs(6, () => 0)).toBe(0);
});
