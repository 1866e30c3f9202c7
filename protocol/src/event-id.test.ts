import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkOf, epochOf, formatEventId, furtherEventId, NO_POSITION, originOf, parseEventId } from "./event-id.ts";

const base36 = fc.stringMatching(/^[0-9a-z]{4}$/);
const eventIds = fc.record({
  epoch: fc.stringMatching(/^[0-9a-z]{1,11}$/),
  seq: fc.integer({ min: 0, max: 999_999_999_999_999 }),
  check: base36,
  n: fc.integer({ min: 0, max: 9_999_999 }),
});

describe("[ID-1] event ids", () => {
  it("come back from their text as they were", () => {
    fc.assert(
      fc.property(eventIds, (id) => {
        expect(parseEventId(formatEventId(id.epoch, id.seq, id.check, id.n))).toEqual(id);
      }),
    );
  });

  it("of a record's further events follow from that of its first", () => {
    fc.assert(
      fc.property(eventIds, ({ epoch, seq, check, n }) => {
        expect(furtherEventId(formatEventId(epoch, seq, check), n)).toBe(formatEventId(epoch, seq, check, n));
      }),
    );
    const first = formatEventId("e", 7, "abcd");
    for (const n of [0, 1, 9, 999, 1_000]) expect(furtherEventId(first, n)).toBe(formatEventId("e", 7, "abcd", n));
  });

  it("have one spelling: what parses is what format writes", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-z]{1,3}-[0-9]{1,3}-[0-9a-z]{4}(\.[0-9]{1,2})?$/)),
        (text) => {
          const id = parseEventId(text);
          if (id !== undefined) expect(formatEventId(id.epoch, id.seq, id.check, id.n)).toBe(text);
        },
      ),
    );
  });

  it.each([
    "",
    "a-1",
    "a-01-0000",
    "a-1-000",
    "a-1-00000",
    "A-1-0000",
    "a-1-0000.0",
    "a-1-0000.01",
    "a--1-0000",
    "a-1-0000 ",
    7,
    null,
  ])("refuses %j", (text) => {
    expect(parseEventId(text)).toBeUndefined();
  });

  it("know the origin and the place that is none", () => {
    expect(parseEventId(originOf("abc"))).toEqual({ epoch: "abc", seq: 0, check: "0000", n: 0 });
    expect(parseEventId(NO_POSITION)).toEqual({ epoch: "0", seq: 0, check: "0000", n: 0 });
  });
});

describe("[ID-2] the parts of an event id", () => {
  it("epoch is the stream's creation time in base36 milliseconds, nanoseconds cut off", () => {
    expect(epochOf("2026-11-23T10:00:00.123456789Z")).toBe(Date.UTC(2026, 10, 23, 10, 0, 0, 123).toString(36));
    expect(() => epochOf("yesterday")).toThrow(TypeError);
  });

  it("check is pinned, so that ids made by one version are verified by the next", () => {
    expect([checkOf(""), checkOf("a"), checkOf("kata-1"), checkOf("kata-2")]).toMatchInlineSnapshot(`
      [
        "ic5n",
        "q7qr",
        "w03d",
        "c3gd",
      ]
    `);
    expect(checkOf("grün")).toBe(checkOf(new TextEncoder().encode("grün")));
  });

  it("check tells neighbouring message ids apart", () => {
    const checks = new Set<string>();
    for (let i = 0; i < 2_000; i++) checks.add(checkOf(`5f0c9a-${i}`));
    // 2,000 draws from 1,679,616: 1.2 collisions are expected, more than 12 have a chance below one in a billion.
    expect(checks.size).toBeGreaterThan(1_987);
  });
});
