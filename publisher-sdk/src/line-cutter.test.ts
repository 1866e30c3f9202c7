import { MAX_EVENT_BYTES } from "@kata/protocol/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeLine } from "./event.ts";
import { LineCutter, type LineText, textsOf } from "./line-cutter.ts";

/** What was read, from what it became: the lines, each with its line feed. */
function restored(texts: readonly LineText[]): Buffer {
  return Buffer.concat(
    texts.map(({ message, bytes, more }) =>
      Buffer.concat([
        bytes === undefined ? Buffer.from(message) : Buffer.from(bytes, "base64"),
        Buffer.from(more ? "" : "\n"),
      ]),
    ),
  );
}

function cut(bytes: Buffer, chunkSizes: readonly number[]): LineText[] {
  const cutter = new LineCutter();
  const texts: LineText[] = [];
  let start = 0;
  for (let i = 0; start < bytes.length; i++) {
    const size = chunkSizes[i % chunkSizes.length] ?? 1;
    // Overwritten afterwards, as whoever reads into one buffer does.
    const chunk = Buffer.from(bytes.subarray(start, start + size));
    texts.push(...cutter.push(chunk));
    chunk.fill(0x23);
    start += size;
  }
  return [...texts, ...cutter.end()];
}

function fits(texts: readonly LineText[]): boolean {
  return texts.every((payload) => Buffer.byteLength(encodeLine({ type: "log_entry", payload })) <= MAX_EVENT_BYTES);
}

const piece = fc.oneof(
  fc.string({ unit: "binary", maxLength: 30 }).map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom("\n", "\r\n", "\n\n", "ä", "😀").map((text) => Buffer.from(text)),
  fc
    .tuple(fc.constantFrom("x", "\u0001", "😀", '"'), fc.integer({ min: 10_000, max: 700_000 }))
    .map(([text, bytes]) => Buffer.from(text.repeat(bytes / Buffer.byteLength(text)))),
  fc.integer({ min: 1, max: 200_000 }).map((bytes) => Buffer.alloc(bytes, 0xe2)),
);

describe("lines", () => {
  test("can be had back byte for byte, however they come, and each part can be an event", () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }).map((pieces) => Buffer.concat(pieces)),
        fc.array(fc.oneof(fc.integer({ min: 200, max: 300 }), fc.integer({ min: 1_000, max: 2_000_000 })), {
          minLength: 1,
          maxLength: 3,
        }),
        (bytes, sizes) => {
          const texts = cut(bytes, sizes);
          const whole = bytes.length === 0 || bytes.at(-1) === 10 ? bytes : Buffer.concat([bytes, Buffer.from("\n")]);
          expect(restored(texts).equals(whole)).toBe(true);
          expect(fits(texts)).toBe(true);
          // However they come, they are cut in the same places.
          expect(texts).toEqual(cut(bytes, [Math.max(1, bytes.length)]));
        },
      ),
      { numRuns: 60 },
    );
  });

  test("end with a line feed or with the end, and keep a carriage return", () => {
    expect(cut(Buffer.from("a\r\n\nb"), [1])).toEqual([{ message: "a\r" }, { message: "" }, { message: "b" }]);
    expect(cut(Buffer.from("a\n"), [2])).toEqual([{ message: "a" }]);
    expect(cut(Buffer.from(""), [1])).toEqual([]);
  });

  test("that are no UTF-8 have their bytes; the others of the chunk do not", () => {
    expect(cut(Buffer.from([0x61, 10, 0xff, 10, 0x62, 10]), [6])).toEqual([
      { message: "a" },
      { message: "\ufffd", bytes: "/w==" },
      { message: "b" },
    ]);
  });

  test("that never end are given out in parts, cut between characters, before they fill the memory", () => {
    const cutter = new LineCutter();
    const parts: LineText[] = [];
    for (let i = 0; i < 100; i++) parts.push(...cutter.push(Buffer.from("€".repeat(10_000))));
    expect(parts.length).toBeGreaterThan(40);
    expect(parts.every(({ message, bytes }) => bytes === undefined && /^€+$/.test(message))).toBe(true);
    expect(parts.map(({ part }) => part)).toEqual(parts.map((_, i) => i + 1));
    expect([...parts, ...cutter.end()].at(-1)).toMatchObject({ part: parts.length + 1 });
  });
});

describe("a text", () => {
  test("is one event with its line feeds, or as many as it takes", () => {
    expect(textsOf("a\nb")).toEqual([{ message: "a\nb" }]);
    expect(textsOf("x".repeat(400_000))).toHaveLength(1);
    for (const text of ["\u0001".repeat(150_000), "€\n".repeat(300_000)]) {
      const texts = textsOf(text);
      expect(texts.length).toBeGreaterThan(1);
      expect(texts.map(({ message }) => message).join("")).toBe(text);
      expect(texts.map(({ part, more }) => [part, more])).toEqual(
        texts.map((_, i) => [i + 1, i + 1 < texts.length ? true : undefined]),
      );
      expect(fits(texts)).toBe(true);
    }
  });
});
