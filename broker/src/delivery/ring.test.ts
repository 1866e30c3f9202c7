import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChannelRecord } from "./channel-record.ts";
import { Ring } from "./ring.ts";

function record(seq: number, size: number, events = 1): ChannelRecord {
  const lines = Array.from({ length: events }, (_, line) => line);
  return { seq, check: "0000", lastLine: events - 1, bytes: Buffer.alloc(size), ends: [], lines, invalid: 0 };
}

describe("the ring", () => {
  it("is complete after its floor, bounded in bytes, whatever was pushed (model)", () => {
    const steps = fc.array(fc.record({ gap: fc.integer({ min: 1, max: 5 }), size: fc.integer({ min: 0, max: 50 }) }), {
      maxLength: 400,
    });
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 2_000 }), (pushes, maxBytes) => {
        const ring = new Ring(maxBytes, 10);
        const all: number[] = [];
        let seq = 10;
        for (const { gap, size } of pushes) {
          seq += gap;
          all.push(seq);
          ring.push(record(seq, size));
          const kept = all.filter((each) => each > ring.floor);
          expect(ring.after(ring.floor, Number.POSITIVE_INFINITY)?.map((each) => each.seq)).toEqual(kept);
          expect(kept.at(-1)).toBe(seq);
          if (kept.length > 1) expect(ring.bytes).toBeLessThanOrEqual(maxBytes);
        }
        for (let at = 8; at <= seq; at++) {
          const expected = at < ring.floor ? undefined : all.filter((each) => each > at);
          expect(ring.after(at, Number.POSITIVE_INFINITY)?.map((each) => each.seq)).toEqual(expected);
          expect(ring.at(at)?.seq).toBe(at > ring.floor && all.includes(at) ? at : undefined);
        }
      }),
    );
  });

  it("gives no more at a time than asked for, and always goes on", () => {
    const ring = new Ring(10_000, 0);
    for (let seq = 1; seq <= 5; seq++) ring.push(record(seq, 100));
    expect(ring.after(1, 150)?.map((each) => each.seq)).toEqual([2, 3]);
    expect(ring.after(3, 1)?.map((each) => each.seq)).toEqual([4]);
    expect(ring.after(5, 1)).toEqual([]);
  });

  it("lets go of records that hold no event, too", () => {
    const ring = new Ring(0, 0);
    for (let seq = 1; seq <= 1_000; seq++) ring.push(record(seq, 0, 0));
    expect(ring.floor).toBe(999);
  });

  it("finds where the last events begin, inside a record too", () => {
    const ring = new Ring(1_000, 0);
    ring.push(record(1, 1, 3));
    ring.push(record(2, 1, 0));
    ring.push(record(3, 1, 2));
    const found = (count: number) => {
      const target = ring.lastEvents(count);
      return target && [target.record.seq, target.afterLine];
    };
    expect([1, 2, 3, 5, 6].map(found)).toEqual([[3, 0], [3, -1], [1, 1], [1, -1], undefined]);
  });
});
