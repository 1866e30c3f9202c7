import { describe, expect, it } from "vitest";
import { readCookie } from "./cookies.ts";

describe("[CONNECT-6] a cookie", () => {
  it.each([
    ["sid=abc", "abc"],
    ["a=1; sid=abc; b=2", "abc"],
    ["a=1;sid=abc==;b=2", "abc=="],
    ['sid="abc"', "abc"],
    ["", undefined],
    ["sid", undefined],
    ["sid=", undefined],
    ["xsid=abc; sidx=abc; SID=abc", undefined],
    ["a=sid=abc", undefined],
    ["sid=abc; sid=def", undefined],
    ["sid=abc; sid=abc", undefined],
  ])("%j is %s", (header, value) => {
    expect(readCookie(header, "sid")).toBe(value);
  });
});
