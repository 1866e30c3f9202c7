import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChannelRecord } from "./channel-record.ts";
import { Ring, weightOf } from "./ring.ts";
import { RingMemory } from "./ring-memory.ts";

const MUCH = Number.MAX_SAFE_INTEGER;

function record(seq: number, size: number, events = 1): ChannelRecord {
  const lines = Array.from({ length: events }, (_, line) => line);
  return {
    epoch: "a",
    seq,
    check: "0000",
    lastLine: events - 1,
    bytes: Buffer.alloc(size),
    ends: [],
    lines,
    invalid: 0,
  };
}

describe("the ring", () => {
  it("is complete after its floor, bounded in bytes, whatever was pushed (model)", () => {
    const steps = fc.array(fc.record({ gap: fc.integer({ min: 1, max: 5 }), size: fc.integer({ min: 0, max: 50 }) }), {
      maxLength: 400,
    });
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 2_000 }), (pushes, maxBytes) => {
        const ring = new Ring(maxBytes, 10, new RingMemory(MUCH));
        const all: number[] = [];
        let seq = 10;
        for (const { gap, size } of pushes) {
          seq += gap;
          all.push(seq);
          ring.push(record(seq, size));
          const kept = all.filter((each) => each > ring.floor);
          expect(ring.after(ring.floor, Number.POSITIVE_INFINITY)?.map((each) => each.seq)).toEqual(kept);
          expect(ring.bytes).toBeLessThanOrEqual(maxBytes);
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
    const ring = new Ring(10_000, 0, new RingMemory(MUCH));
    for (let seq = 1; seq <= 5; seq++) ring.push(record(seq, 100));
    expect(ring.after(1, 150)?.map((each) => each.seq)).toEqual([2, 3]);
    expect(ring.after(3, 1)?.map((each) => each.seq)).toEqual([4]);
    expect(ring.after(5, 1)).toEqual([]);
  });

  it("lets go of records that hold no event, too, and of one that is more than all it may hold", () => {
    const ring = new Ring(weightOf(record(1, 0)), 0, new RingMemory(MUCH));
    for (let seq = 1; seq <= 1_000; seq++) ring.push(record(seq, 0, 0));
    expect(ring.floor).toBe(999);
    ring.push(record(1_001, 1_000));
    expect([ring.floor, ring.bytes, ring.after(1_001, 1)]).toEqual([1_001, 0, []]);
  });

  it("holds with all others no more than their memory, and the one written to last forgets last (model)", () => {
    const pushes = fc.array(fc.tuple(fc.nat({ max: 4 }), fc.nat({ max: 3_000 }), fc.nat({ max: 9 })), {
      maxLength: 300,
    });
    fc.assert(
      fc.property(pushes, fc.nat({ max: 20_000 }), (steps, maxBytes) => {
        const memory = new RingMemory(maxBytes);
        const make = () => new Ring(5_000, 0, memory);
        const rings = Array.from({ length: 5 }, make);
        let seq = 0;
        for (const [which, size, dice] of steps) {
          seq++;
          if (dice === 0) {
            rings[which]?.close();
            rings[which] = make();
            continue;
          }
          rings[which]?.push(record(seq, size));
          const bytes = rings.reduce((sum, ring) => sum + ring.bytes, 0);
          expect(memory.bytes).toBe(bytes);
          expect(bytes).toBeLessThanOrEqual(maxBytes);
          // The one that was just written to is the last to forget.
          const fits = weightOf(record(seq, size)) <= Math.min(maxBytes, 5_000);
          expect(rings[which]?.at(seq)?.seq).toBe(fits ? seq : undefined);
        }
      }),
    );
  });

  it("finds where the last events begin, inside a record too", () => {
    const ring = new Ring(10_000, 0, new RingMemory(MUCH));
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
