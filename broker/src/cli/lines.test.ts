import fc from "fast-check";
import { expect, it } from "vitest";
import { type Line, LineCutter } from "./lines.ts";

function cut(chunks: readonly Buffer[], keptBytes?: number): Line[] {
  const cutter = new LineCutter(keptBytes);
  const lines: Line[] = [];
  for (const chunk of chunks) {
    lines.push(...cutter.push(chunk));
    // A reader may use its buffer again.
    chunk.fill(0);
  }
  return [...lines, ...cutter.end()];
}

it("cuts the same lines wherever the chunks are cut", () => {
  const text = fc.array(fc.constantFrom("a", "ü", "🐟", "\r", "\n", "\r\n", " ", "\0"), { maxLength: 40 });
  fc.assert(
    fc.property(text, fc.array(fc.nat(80), { maxLength: 8 }), (parts, places) => {
      const bytes = Buffer.from(parts.join(""));
      const edges = [0, ...places.map((place) => Math.min(place, bytes.length)).sort((a, b) => a - b), bytes.length];
      const chunks = edges.slice(1).map((edge, i) => Buffer.from(bytes.subarray(edges[i], edge)));
      const expected = parts.join("").split("\n");
      if (expected.at(-1) === "") expected.pop();
      expect(cut(chunks)).toEqual(expected.map((line) => ({ text: line.replace(/\r$/, "") })));
    }),
  );
});

it("keeps no more of a line than it may, and says how long it was", () => {
  const chunks = ["12345\n123", "45", "6\n", "1234567890", "1234567890"].map((text) => Buffer.from(text));
  expect(cut(chunks, 5)).toEqual([{ text: "12345" }, { bytes: 6 }, { bytes: 20 }]);
});
