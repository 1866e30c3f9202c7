import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BodyBytes } from "./body-bytes.ts";

describe("the bytes of a body", () => {
  it("are those that came, in one piece, however they came", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), (pieces) => {
        const bytes = new BodyBytes();
        for (const piece of pieces) bytes.push(piece);
        expect(bytes.length).toBe(Buffer.concat(pieces).length);
        expect(bytes.take()).toEqual(Buffer.concat(pieces));
        expect([bytes.length, bytes.capacity, bytes.take().length]).toEqual([0, 0, 0]);
      }),
    );
  });

  it("are copied: what they came in may be used again, and what was taken does not change", () => {
    const bytes = new BodyBytes();
    const piece = Buffer.from("a");
    bytes.push(piece);
    piece[0] = 0x7a;
    const taken = bytes.take();
    bytes.push(Buffer.from("b"));
    expect([taken.toString(), bytes.take().toString()]).toEqual(["a", "b"]);
  });

  it("keep less than twice their length, and no more than there may be, a byte at a time or not", () => {
    const sizes = fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 5_000 })), { maxLength: 300 });
    fc.assert(
      fc.property(sizes, (all) => {
        const most = all.reduce((sum, size) => sum + size, 0);
        const [free, bounded] = [new BodyBytes(), new BodyBytes(most)];
        for (const size of all) {
          for (const bytes of [free, bounded]) {
            bytes.push(Buffer.alloc(size));
            expect(bytes.capacity).toBeLessThan(2 * bytes.length);
          }
          expect(bounded.capacity).toBeLessThanOrEqual(most);
        }
      }),
    );
  });

  it("of a million pieces are in one buffer, which is filled a few times", () => {
    const bytes = new BodyBytes(1_048_576);
    const byte = Buffer.from("x");
    let grown = 0;
    for (let i = 0, before = 0; i < 1_048_576; i++) {
      bytes.push(byte);
      if (bytes.capacity !== before) grown++;
      before = bytes.capacity;
    }
    expect([grown, bytes.capacity]).toEqual([21, 1_048_576]);
    expect(bytes.take().every((each) => each === 0x78)).toBe(true);
  });
});
