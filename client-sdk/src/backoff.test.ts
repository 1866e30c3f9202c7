import fc from "fast-check";
import { expect, test } from "vitest";
import { backoffDelay } from "./backoff.ts";

const backoff = { minMs: 250, maxMs: 10_000 };

test("the bound doubles from minMs up to maxMs and stays there", () => {
  const bounds = [0, 1, 2, 3, 4, 5, 6, 7, 2_000].map((failures) => backoffDelay(failures, backoff, () => 1));
  expect(bounds).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
});

test("full jitter: the whole range from 0 to the bound is used, evenly", () => {
  fc.assert(
    fc.property(fc.nat(2_000), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (failures, random) => {
      const bound = Math.min(10_000, 250 * 2 ** failures);
      expect(backoffDelay(failures, backoff, () => random)).toBe(random * bound);
    }),
  );
});
