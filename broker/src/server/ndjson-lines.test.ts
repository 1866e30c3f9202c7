import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Line, LineSplitter } from "./ndjson-lines.ts";

const MAX = 8;

/** What is cut out of a body that comes in these pieces. */
function cut(pieces: readonly Buffer[]): { readonly lines: readonly (string | undefined)[]; readonly most: number } {
  const splitter = new LineSplitter(MAX);
  const lines: Line[] = [];
  let most = 0;
  for (const piece of pieces) {
    lines.push(...splitter.push(piece));
    most = Math.max(most, splitter.held);
  }
  const last = splitter.end();
  if (last !== undefined) lines.push(last);
  expect(lines.map(({ index }) => index)).toEqual(lines.map((_, i) => i));
  return { lines: lines.map(({ bytes }) => bytes?.toString()), most };
}

describe("[HTTP-8] the lines of a body", () => {
  it("are cut at line feeds; empty ones do not count, and the last needs none", () => {
    expect(cut([Buffer.from("a\n\n \t\r\nbc\r\nd")]).lines).toEqual(["a", "bc\r", "d"]);
    expect(cut([Buffer.from("a\n")]).lines).toEqual(["a"]);
    expect(cut([]).lines).toEqual([]);
    expect(cut([Buffer.from("\n  ")]).lines).toEqual([]);
  });

  it("that are too long are told and not held", () => {
    const { lines, most } = cut([Buffer.from("12345678\n123456789\n1234"), Buffer.from("56789"), Buffer.from("0\nx")]);
    expect(lines).toEqual(["12345678", undefined, undefined, "x"]);
    expect(most).toBeLessThanOrEqual(MAX);
  });

  it("are the same however the body is cut into pieces", () => {
    const bodies = fc.array(fc.constantFrom("a", "b", " ", "\r", "\n", "ä", "\n\n"), { maxLength: 80 });
    fc.assert(
      fc.property(bodies, fc.array(fc.nat(100)), (parts, cuts) => {
        const body = Buffer.from(parts.join(""));
        const places = [0, ...cuts.map((at) => Math.min(at, body.length)).sort((a, b) => a - b), body.length];
        const { lines, most } = cut(places.slice(1).map((to, i) => body.subarray(places[i], to)));
        expect(most).toBeLessThanOrEqual(MAX);
        const whole = body.toString().split("\n");
        const expected = whole.filter((line) => Buffer.byteLength(line) > MAX || /[^ \t\r]/.test(line));
        expect(lines).toEqual(expected.map((line) => (Buffer.byteLength(line) > MAX ? undefined : line)));
      }),
    );
  });
});
