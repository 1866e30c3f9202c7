import fc from "fast-check";
import { expect, test } from "vitest";
import { isWithin, Lines, mostBytes } from "./lines.ts";

/** Lines of one, two, three and four bytes a character, some long enough to be encoded at once, some with memory of their own. */
const line = fc
  .tuple(
    fc.constantFrom("a", "é", "語", "😀"),
    fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 1, max: 300 }) },
      { weight: 1, arbitrary: fc.integer({ min: 1_000, max: 9_000 }) },
    ),
  )
  .map(([char, times]) => char.repeat(times));

test("what is sent is the lines with line feeds between them, whatever was taken out, and how long it is is known all the time", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(line, fc.option(fc.nat(), { freq: 4 })), { maxLength: 120 }),
      fc.nat(40_000),
      (steps, room) => {
        const lines = new Lines(room);
        const left: string[] = [];
        for (const [added, removed] of steps) {
          lines.add(added);
          left.push(added);
          if (removed !== null) {
            const place = removed % left.length;
            lines.remove(place);
            left.splice(place, 1);
          }
          const bytes = Buffer.byteLength(left.join("\n"));
          expect(lines.bytes).toBe(bytes);
          expect(lines.leastBytes).toBeLessThanOrEqual(bytes);
        }
        expect(lines.joined().toString()).toBe(left.join("\n"));
        expect(lines.leastBytes).toBe(lines.bytes);
        const { bytes } = lines;
        lines.drop();
        expect(lines.bytes).toBe(bytes);
        expect(lines.joined()).toHaveLength(0);
      },
    ),
  );
});

test("one more line is taken up to the last byte, and not beyond", () => {
  fc.assert(
    fc.property(fc.array(line, { minLength: 1, maxLength: 40 }), line, (all, more) => {
      const lines = new Lines(0);
      for (const each of all) lines.add(each);
      const bytes = Buffer.byteLength([...all, more].join("\n"));
      expect(lines.takes(more, bytes)).toBe(true);
      expect(lines.takes(more, bytes - 1)).toBe(false);
    }),
  );
});

test("a line is measured to the byte where a bound is near", () => {
  fc.assert(
    fc.property(line, (each) => {
      const bytes = Buffer.byteLength(each);
      expect(isWithin(each, bytes)).toBe(true);
      expect(isWithin(each, bytes - 1)).toBe(false);
      expect(mostBytes(each)).toBeGreaterThanOrEqual(bytes);
    }),
  );
});

test("what is let go before it was encoded is as long as it would have been", () => {
  const lines = new Lines(0);
  lines.add("語");
  lines.add("é");
  lines.drop();
  expect(lines.bytes).toBe(6);
});

test("one line takes no more memory than it needs, however much was expected", () => {
  const memoryOf = (line: string) => {
    const lines = new Lines(16_384);
    lines.add(line);
    return lines.joined().buffer.byteLength;
  };
  // What is small comes out of Node's pool.
  expect(memoryOf("x")).toBeLessThanOrEqual(Buffer.poolSize);
  expect(memoryOf("x".repeat(9_000))).toBe(9_000);
});
