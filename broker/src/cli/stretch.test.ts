import { MAX_EVENT_BYTES, MAX_RECORD_BYTES } from "@kata/protocol/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fitsOneEvent, growsInJson, type LinePayload, logEntriesOf } from "./log-entries.ts";
import { cut, linesOf, PART_BYTES, type Stretch } from "./stretch.ts";

const SIZING = { grows: growsInJson, fits: fitsOneEvent };

interface Cut extends Stretch {
  readonly payloads: readonly LinePayload[];
}

/** As from a source that has these chunks, one after the other. */
function cutAll(chunks: readonly Buffer[]): Cut[] {
  const found: Cut[] = [];
  let rest: Buffer = Buffer.alloc(0);
  let part = 0;
  for (const [i, chunk] of chunks.entries()) {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const stretch = cut(rest, i === chunks.length - 1, part, SIZING);
      if (stretch === undefined) break;
      found.push({ ...stretch, payloads: logEntriesOf(rest.subarray(0, stretch.bytes), stretch) });
      part = stretch.more === true ? (stretch.part ?? 0) : 0;
      rest = rest.subarray(stretch.bytes);
    }
  }
  expect(rest).toHaveLength(0);
  return found;
}

/** The lines again, as docs/logs.md says. */
function linesAgain(cuts: readonly Cut[]): Buffer[] {
  const lines: Buffer[] = [];
  let parts: Buffer[] = [];
  for (const { message, bytes, more } of cuts.flatMap(({ payloads }) => payloads)) {
    parts.push(bytes === undefined ? Buffer.from(message) : Buffer.from(bytes, "base64"));
    if (more === true) continue;
    lines.push(Buffer.concat(parts));
    parts = [];
  }
  expect(parts).toEqual([]);
  return lines;
}

function eventBytes(payload: LinePayload): number {
  const timestamp = "2026-11-25T10:00:00.000Z";
  return Buffer.byteLength(JSON.stringify({ type: "log_entry", timestamp, encoding: "json", payload }));
}

const piece = fc.oneof(
  fc
    .constantFrom("a", "ü", "🐟", "\r", "\n", "\n\n", " ", "\0", "\u2028", "\ufeff", "\ufffd")
    .map((text) => Buffer.from(text)),
  fc.uint8Array({ minLength: 1, maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
);
const long = fc
  .tuple(piece, fc.integer({ min: 1, max: 8 * PART_BYTES }))
  .map(([bytes, times]) => Buffer.concat(Array.from({ length: Math.ceil(times / bytes.length) }, () => bytes)));

function chunksOf(bytes: Buffer, places: readonly number[]): Buffer[] {
  const edges = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return edges.slice(1).map((edge, i) => bytes.subarray(edges[i], edge));
}

describe("stretches", () => {
  it("are the same lines byte for byte, wherever the chunks are cut", () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), fc.array(fc.nat(), { maxLength: 8 }), (pieces, places) => {
        const bytes = Buffer.concat(pieces);
        expect(linesAgain(cutAll(chunksOf(bytes, places)))).toEqual(linesOf(bytes));
      }),
      { numRuns: 500 },
    );
  });

  it("fit in a record, and each event of them in an event's line, whatever the bytes", () => {
    const mixed = fc.array(fc.oneof({ weight: 3, arbitrary: piece }, long), { maxLength: 12 });
    fc.assert(
      fc.property(mixed, fc.array(fc.nat(), { maxLength: 4 }), (pieces, places) => {
        const bytes = Buffer.concat(pieces);
        const cuts = cutAll(chunksOf(bytes, places));
        for (const { payloads, lines, part } of cuts) {
          const sizes = payloads.map(eventBytes);
          expect(Math.max(...sizes)).toBeLessThanOrEqual(MAX_EVENT_BYTES);
          expect(sizes.reduce((sum, size) => sum + size + 1, -1)).toBeLessThanOrEqual(MAX_RECORD_BYTES);
          expect(payloads.length).toBeLessThanOrEqual(1_000);
          if (part === undefined) expect(lines).toBe(payloads.length);
        }
        const again = linesAgain(cuts);
        const expected = linesOf(bytes);
        expect(again.length).toBe(expected.length);
        expect(again.findIndex((line, i) => !line.equals(expected[i] as Buffer))).toBe(-1);
      }),
      { numRuns: 15 },
    );
  });

  it("of the worst there is fill a record and no more", () => {
    for (const byte of [0x00, 0xff]) {
      const line = Buffer.concat([Buffer.alloc(60, byte), Buffer.from("\n")]);
      for (const { payloads } of cutAll([Buffer.concat(Array.from({ length: 3_000 }, () => line))])) {
        const bytes = payloads.map(eventBytes).reduce((sum, size) => sum + size + 1, -1);
        expect(bytes).toBeLessThanOrEqual(MAX_RECORD_BYTES);
      }
    }
  });

  it("hold the events of a line whole if it can be one, and else in parts that end between characters", () => {
    const whole = `${"x".repeat(500_000)}\n`;
    const split = `${"🐟".repeat(150_000)}\n`;
    const cuts = cutAll([Buffer.from(whole + split)]);
    expect(cuts[0]).toMatchObject({ lines: 1, payloads: [{ message: whole.trimEnd() }] });
    expect(cuts[0]?.part).toBeUndefined();
    const parts = Math.ceil((150_000 * 4) / PART_BYTES);
    expect(cuts.slice(1).map(({ part, more }) => [part, more === true])).toEqual(
      Array.from({ length: parts }, (_, i) => [i + 1, i < parts - 1]),
    );
    expect(cuts.at(-1)?.more).toBeUndefined();
    for (const { payloads } of cuts.slice(1)) expect(payloads[0]?.message).toMatch(/^(🐟)+$/u);
  });

  it("an endless line is published as it comes, and its end is waited for", () => {
    const bytes = Buffer.alloc(MAX_EVENT_BYTES + 1, "x");
    expect(cut(bytes.subarray(0, -1), false, 0, SIZING)).toBeUndefined();
    expect(cut(bytes, false, 0, SIZING)).toEqual({ bytes: PART_BYTES, lines: 0, part: 1, more: true });
    expect(cut(bytes.subarray(0, PART_BYTES), false, 1, SIZING)).toBeUndefined();
    expect(cut(bytes.subarray(0, PART_BYTES), true, 1, SIZING)).toEqual({ bytes: PART_BYTES, lines: 1, part: 2 });
  });
});
