import { expect, test } from "vitest";
import { Knocks } from "./knocks.ts";

const LIMITS = { atATime: 3, refusedPerSecond: 2, refusedAtOnce: 10 };

/** How many of so many attempts are looked at, each of which has this outcome at once. */
function looks(knocks: Knocks, address: string, times: number, refused: boolean): number {
  let looked = 0;
  for (let i = 0; i < times; i++) {
    const end = knocks.begin(address);
    if (end === undefined) continue;
    looked++;
    end(refused);
  }
  return looked;
}

test("an address that keeps being refused is not looked at for a while, its valid credentials included; others are", () => {
  let now = 0;
  const knocks = new Knocks(LIMITS, () => now);
  expect(looks(knocks, "192.0.2.1", 1_000, true)).toBe(10);
  expect(looks(knocks, "192.0.2.1", 1, false)).toBe(0);
  // The same address in another form, and of IPv6 all that one has.
  expect(looks(knocks, "::ffff:192.0.2.1", 1, false)).toBe(0);
  expect(looks(knocks, "2001:db8::1", 1_000, true)).toBe(10);
  expect(looks(knocks, "2001:db8::ffff:2", 1, false)).toBe(0);
  expect(looks(knocks, "192.0.2.2", 1, false)).toBe(1);
  expect(looks(knocks, "2001:db8:0:1::1", 1, false)).toBe(1);
  now += 500;
  expect(looks(knocks, "192.0.2.1", 1_000, true)).toBe(1);
});

test("whoever is let in does not count, however many come", () => {
  expect(looks(new Knocks(LIMITS, () => 0), "192.0.2.1", 10_000, false)).toBe(10_000);
});

test("of one address so many are looked at at a time", () => {
  const knocks = new Knocks(LIMITS, () => 0);
  const ends = Array.from({ length: 5 }, () => knocks.begin("192.0.2.1"));
  expect(ends.map((end) => end !== undefined)).toEqual([true, true, true, false, false]);
  expect(knocks.begin("192.0.2.2")).toBeDefined();
  ends[0]?.(false);
  expect(knocks.begin("192.0.2.1")).toBeDefined();
});
