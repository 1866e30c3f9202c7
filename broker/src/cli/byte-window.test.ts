import fc from "fast-check";
import { expect, it } from "vitest";
import { ByteWindow, REMEMBERED_BYTES } from "./byte-window.ts";

it("holds what was pushed and not taken, and remembers the last of what was, however it grows", () => {
  const step = fc.oneof(
    fc.record({ push: fc.integer({ min: 0, max: 300_000 }) }),
    fc.record({ take: fc.double({ min: 0, max: 1, noNaN: true }) }),
    fc.record({ begin: fc.integer({ min: 0, max: REMEMBERED_BYTES }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const window = new ByteWindow();
      let all = Buffer.alloc(0);
      let taken = 0;
      let next = 0;
      const bytes = (length: number) => Buffer.from(Uint8Array.from({ length }, () => next++ % 251));
      for (const each of steps) {
        if ("push" in each) {
          const chunk = bytes(each.push);
          window.push(chunk);
          all = Buffer.concat([all, chunk]);
        } else if ("take" in each) {
          const count = Math.floor(each.take * window.length);
          window.take(count);
          taken += count;
        } else {
          all = bytes(each.begin);
          taken = all.length;
          window.begin(all);
        }
        expect(window.length).toBe(all.length - taken);
        expect(window.bytes.equals(all.subarray(taken))).toBe(true);
        expect(window.before.equals(all.subarray(Math.max(0, taken - REMEMBERED_BYTES), taken))).toBe(true);
        expect(window.tail.equals(all.subarray(Math.max(0, all.length - REMEMBERED_BYTES)))).toBe(true);
      }
    }),
    { numRuns: 30 },
  );
});
