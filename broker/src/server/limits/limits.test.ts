import { describe, expect, it } from "vitest";
import { Buckets } from "../../limits/buckets.ts";
import { Places } from "../../limits/places.ts";
import { TokenBucket } from "../../limits/token-bucket.ts";
import { CommandRate } from "./command-rate.ts";

describe("a token bucket", () => {
  it("gives what was saved up, and then so much a second", () => {
    const bucket = new TokenBucket(10, 3, 0);
    expect([1, 2, 3, 4].map(() => bucket.take(0))).toEqual([true, true, true, false]);
    expect(bucket.waitMs(0)).toBe(100);
    expect(bucket.take(99)).toBe(false);
    expect(bucket.take(100)).toBe(true);
    expect([1, 2, 3, 4].map(() => bucket.take(3_600_000))).toEqual([true, true, true, false]);
  });

  it("lets through what is larger than itself, and makes up for it after", () => {
    const bucket = new TokenBucket(1_000, 2_000, 0);
    expect(bucket.take(0, 5_000)).toBe(true);
    expect(bucket.take(0, 1)).toBe(false);
    expect(bucket.waitMs(0)).toBeCloseTo(3_001);
    expect(bucket.take(3_000, 1)).toBe(false);
    expect(bucket.take(3_002, 1)).toBe(true);
  });

  it("[LIMIT-4] leaves something for those who cannot wait: half, less a quarter at a time for those who can", () => {
    const bucket = new TokenBucket(1_000, 2_000, 0);
    expect([bucket.takeSome(0, 100), bucket.takeSome(0, 5_000), bucket.takeSome(0, 5_000)]).toEqual([100, 500, 500]);
    // 900 are left, 1,000 are half.
    expect([bucket.takeSome(0, 5_000), bucket.waitForSomeMs(0)]).toEqual([0, 100]);
    expect([bucket.take(0, 400), bucket.take(0, 400)]).toEqual([true, true]);
    expect(bucket.waitForSomeMs(0)).toBe(900);
    expect(bucket.takeSome(900, 5_000)).toBe(500);
    expect(bucket.take(900, 400)).toBe(true);
  });
});

describe("buckets by key", () => {
  it("are so many, whoever makes up keys; the one used longest ago is forgotten", () => {
    const buckets = new Buckets({ perSecond: 1, most: 1, maxKeys: 100 });
    buckets.take("regular", 0);
    for (let i = 0; i < 100_000; i++) {
      buckets.take(`made up ${i}`, 0);
      expect(buckets.take("regular", 0)).toBe(false);
    }
    expect(buckets.size).toBe(100);
    expect(buckets.take("made up 99999", 0)).toBe(false);
    expect(buckets.take("made up 0", 0)).toBe(true);
  });

  it("without a limit remember nothing", () => {
    const buckets = new Buckets({ perSecond: 0, most: 1 });
    expect([1, 2, 3].map(() => buckets.take("x", 0))).toEqual([true, true, true]);
    expect([buckets.size, buckets.waitMs("x", 0)]).toEqual([0, 0]);
  });

  it("are not made by a question", () => {
    const buckets = new Buckets({ perSecond: 1, most: 1 });
    expect([buckets.waitMs("x", 0), buckets.size]).toEqual([0, 0]);
  });
});

describe("places", () => {
  it("are taken by key and come back", () => {
    const places = new Places(2);
    places.take("a");
    places.take("a");
    expect([places.full("a"), places.full("b")]).toEqual([true, false]);
    places.leave("a");
    expect(places.full("a")).toBe(false);
    places.leave("a");
    expect(places.size).toBe(0);
  });
});

describe("[COMMAND-6] the commands of a connection", () => {
  it("may be so many a second, more at once, and refused for so long", () => {
    const rate = new CommandRate({ perSecond: 2, besides: 3 }, 0);
    const verdicts = Array.from({ length: 8 }, () => rate.next(0));
    expect(verdicts).toEqual([...Array<string>(5).fill("allowed"), "over", "over", "abusive"]);
    expect([rate.next(500), rate.next(500)]).toEqual(["allowed", "abusive"]);
    expect([rate.next(31_000), rate.next(31_000), rate.next(31_000), rate.next(31_000), rate.next(31_000)]).toEqual(
      Array<string>(5).fill("allowed"),
    );
    // Half a minute of patience is back.
    expect([rate.next(31_000), rate.next(31_000)]).toEqual(["over", "abusive"]);
  });

  it("are without a limit where there is none", () => {
    const rate = new CommandRate({ perSecond: 0, besides: 0 }, 0);
    expect(new Set(Array.from({ length: 10_000 }, () => rate.next(0)))).toEqual(new Set(["allowed"]));
  });
});
