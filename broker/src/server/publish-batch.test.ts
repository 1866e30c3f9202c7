import { encodeEvent, MAX_RECORD_BYTES } from "@kata/protocol/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Batch, Batches, batchKey } from "./publish-batch.ts";

const lineOf = (event: object, index: number) => ({ index, bytes: Buffer.from(JSON.stringify(event)) });
const event = (payload: unknown) => ({ type: "own", payload });

function gather(keyed: boolean, events: readonly object[]): Batch[] {
  const batches = new Batches(keyed);
  const full = events.flatMap((each, index) => batches.add(lineOf(each, index)));
  return [...full, ...batches.rest()];
}

const sizes = (batches: readonly Batch[]) => batches.map(({ items }) => items.length);

describe("[HTTP-10] the batches of a stream under a key", () => {
  it("have 1,000 lines, wrong ones included", () => {
    const lines = Array.from({ length: 2_500 }, (_, i) => (i % 10 === 0 ? { type: "own" } : event(i)));
    const batches = gather(true, lines);
    expect(sizes(batches)).toEqual([1_000, 1_000, 500]);
    expect(batches.flatMap(({ items }) => items.map(({ index }) => index))).toEqual(lines.map((_, i) => i));
    expect(batches[0]?.items.filter(({ refusal }) => refusal?.code === "invalid_event").length).toBe(100);
  });

  it("come to a record each, whatever their lines come to when they are stored", () => {
    // A number may be shorter than what JSON makes of it, a text longer.
    const payloads = fc.oneof(
      fc
        .constantFrom("1e20", "1E-7", '"\\u0041\\u0041\\u0041"', " [ 1 , 2 ] ")
        .map((json) => `[${`${json},`.repeat(3_000)}0]`),
      fc.integer({ min: 1, max: 500_000 }).map((length) => JSON.stringify("x".repeat(length))),
      fc.constant("1"),
    );
    fc.assert(
      fc.property(fc.array(payloads, { maxLength: 30 }), (all) => {
        const batches = new Batches(true);
        const full = all.flatMap((payload, index) =>
          batches.add({ index, bytes: Buffer.from(`{"type":"own","payload":${payload}}`) }),
        );
        full.push(...batches.rest());
        expect(full.flatMap(({ items }) => items).length).toBe(all.length);
        for (const { items } of full) {
          const lines = items.map((item) => encodeEvent("own", new Date().toISOString(), item.event?.payload) ?? "");
          expect(Buffer.byteLength(lines.join("\n"))).toBeLessThanOrEqual(MAX_RECORD_BYTES);
        }
      }),
      { numRuns: 30 },
    );
  });

  it("are as large as they may be: the next line would not have fitted", () => {
    const line = event("x".repeat(9_900));
    const batches = gather(true, Array(200).fill(line));
    const stored = Buffer.byteLength(encodeEvent("own", new Date().toISOString(), line.payload) ?? "");
    const most = Math.floor((MAX_RECORD_BYTES + 1) / (stored + 1));
    expect(sizes(batches)).toEqual([most, most, most, 200 - 3 * most]);
  });

  it("have keys that follow from the stream's, all of them keys", () => {
    expect([batchKey("k", 0), batchKey("k", 1), batchKey("k", 12)]).toEqual(["k", "k#1", "k#12"]);
    const long = "k".repeat(128);
    expect(batchKey(long, 0)).toBe(long);
    expect(batchKey(long, 1)).toMatch(/^[A-Za-z0-9_-]{43}#1$/);
    expect(batchKey("k".repeat(112), 999_999_999).length).toBeLessThanOrEqual(128);
  });
});

describe("the batches of a stream without a key", () => {
  it("leave an event with a key of its own by itself", () => {
    const own = { ...event(0), idempotencyKey: "own" };
    expect(sizes(gather(false, [event(1), event(2), own, own, event(3)]))).toEqual([2, 1, 1, 1]);
  });

  it("hold only so many bytes", () => {
    const batches = gather(false, Array(300).fill(event("x".repeat(9_900))));
    for (const { bytes } of batches) expect(bytes).toBeLessThanOrEqual(MAX_RECORD_BYTES);
    expect(batches.length).toBe(12);
  });
});
