import { describe, expect, it } from "vitest";
import { Recent } from "./recent.ts";

describe("what was learned lately", () => {
  it("is known until its time is over", () => {
    const recent = new Recent<number>(10);
    recent.set("a", 1, 100, 0);
    expect(recent.get("a", 99)).toMatchObject({ value: 1 });
    expect(recent.get("a", 100)).toBeUndefined();
    expect(recent.size).toBe(0);
    recent.set("b", 1, 100, 100);
    expect(recent.size).toBe(0);
  });

  it("has a bound: the one used longest ago goes", () => {
    const recent = new Recent<number>(3);
    for (const key of ["a", "b", "c"]) recent.set(key, 0, 100, 0);
    recent.get("a", 1);
    recent.set("d", 0, 100, 1);
    expect(["a", "b", "c", "d"].filter((key) => recent.get(key, 1) !== undefined)).toEqual(["a", "c", "d"]);
    for (let n = 0; n < 1_000; n++) recent.set(`x${n}`, n, 100, 1);
    expect(recent.size).toBe(3);
  });

  it("learned anew counts for the new time, and takes no further room", () => {
    const recent = new Recent<number>(2);
    recent.set("a", 1, 100, 0);
    recent.set("b", 1, 100, 0);
    recent.set("a", 2, 200, 50);
    expect(recent.size).toBe(2);
    expect(recent.get("a", 150)).toMatchObject({ value: 2 });
  });

  it("with no room at all keeps nothing", () => {
    const recent = new Recent<number>(0);
    recent.set("a", 1, 100, 0);
    expect(recent.get("a", 1)).toBeUndefined();
  });
});
