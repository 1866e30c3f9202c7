import { describe, expect, it } from "vitest";
import type { LiveRecord } from "../log/event-log.ts";
import type { ChannelRecord } from "./channel-record.ts";
import { RingMemory } from "./ring-memory.ts";
import type { Finding } from "./survey.ts";
import { Tail } from "./tail.ts";

const check = (seq: number) => `c${String(seq).padStart(3, "0")}`;
const place = (seq: number) => ({ seq, check: check(seq), line: 0 });

function found(last: number, newest?: number, checkOfNewest = check(newest ?? 0)): Finding {
  return {
    epoch: "a",
    firstSeq: 1,
    last: place(last),
    newest: newest === undefined ? undefined : { seq: newest, check: checkOfNewest },
  };
}

function record(seq: number): ChannelRecord {
  return {
    epoch: "a",
    seq,
    check: check(seq),
    lastLine: 0,
    bytes: Buffer.alloc(10),
    ends: [10],
    lines: [0],
    invalid: 0,
  };
}

function live(seq: number, prevSeq: number, its = check(seq)): LiveRecord {
  return { seq, prevSeq, check: its, subject: "s", data: Buffer.alloc(0) };
}

/** Begun where the log's end is 10 and the subject's newest record is 8; then records were applied. */
function tail(applied: readonly number[] = [], ringBytes = 10_000): Tail {
  const made = new Tail(ringBytes, new RingMemory(1_000_000));
  made.begin(found(10, 8));
  for (const seq of applied) made.apply(record(seq));
  return made;
}

describe("how a live record fits", () => {
  it.each([
    ["it follows the head", live(11, 8), "next"],
    ["it follows something that was missed", live(12, 11), "misfit"],
    ["nothing of the subject is left before it, and something was", live(11, 0), "misfit"],
    ["it is the head once more", live(8, 7), "repeat"],
    ["another one stands where the head was", live(8, 7, "else"), "misfit"],
    ["it follows the head at a place that the log had before", live(9, 8), "misfit"],
  ] as const)("%s", (_what, given, expected) => {
    expect(tail().judge(given)).toBe(expected);
  });

  it("the first of a channel is next only right behind the place that is known: one before it may be gone unseen", () => {
    const empty = new Tail(0, new RingMemory(0));
    empty.begin(found(10));
    expect([empty.judge(live(11, 0)), empty.judge(live(12, 0))]).toEqual(["next", "misfit"]);
  });

  it("what was applied is a repeat, also behind the head", () => {
    const known = tail([11, 13]);
    expect(known.judge(live(11, 8))).toBe("repeat");
    expect(known.judge(live(11, 8, "else"))).toBe("misfit");
    expect(known.judge(live(12, 11))).toBe("misfit");
  });
});

describe("a record that was held during a repair", () => {
  it("was read meanwhile if memory knows it, or has forgotten that far", () => {
    const known = tail([11, 13]);
    expect([live(11, 8), live(13, 11), live(8, 7), live(3, 0)].map((each) => known.holds(each))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    const forgetful = tail([11, 13], 0);
    expect(forgetful.holds(live(11, 8))).toBe(true);
  });

  it("was not if memory would know it and does not, knows another one, or is not so far", () => {
    const known = tail([11, 13]);
    expect([live(12, 11), live(11, 8, "else"), live(14, 13)].map((each) => known.holds(each))).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe("an audit agrees", () => {
  const before = (of: Tail) => ({ head: of.head, mark: of.mark });

  it("if the log's newest record is the head, and the place up to where nothing is missing moves on", () => {
    const known = tail();
    expect(known.agrees(before(known), found(20, 8))).toBe(true);
    known.confirm(found(20, 8));
    expect([known.mark.seq, known.head.seq]).toEqual([20, 8]);
    known.confirm(found(15, 8));
    expect(known.mark.seq).toBe(20);
  });

  it("if the channel has moved on since it was asked", () => {
    const known = tail();
    const asked = before(known);
    known.apply(record(11));
    known.apply(record(12));
    for (const finding of [found(10, 8), found(11, 11), found(12, 12)]) expect(known.agrees(asked, finding)).toBe(true);
    // What came would have been found, unless it is gone, and something else with it.
    for (const finding of [found(12, 8), found(11, 8), found(12)]) expect(known.agrees(asked, finding)).toBe(false);
  });

  it.each([
    ["the log has a newer one", found(20, 15)],
    ["another one stands at the head", found(20, 8, "else")],
    ["the head is gone", found(20)],
    ["an older one is its newest", found(20, 5)],
    ["the log's end lies before a place that it had", found(9, 8)],
    ["it is another log", { ...found(20, 8), epoch: "b" }],
  ])("not if %s", (_what, finding) => {
    const known = tail();
    expect(known.agrees(before(known), finding)).toBe(false);
  });

  it("of a channel without a record only while nothing was trimmed behind the place that it knows", () => {
    const empty = new Tail(0, new RingMemory(0));
    empty.begin(found(10));
    expect(empty.agrees(before(empty), { ...found(20), firstSeq: 11 })).toBe(true);
    expect(empty.agrees(before(empty), { ...found(20), firstSeq: 12 })).toBe(false);
    expect(tail().agrees(before(tail()), { ...found(20, 8), firstSeq: 8 })).toBe(true);
  });

  it("not if the log's newest is between what was applied, and is none of it", () => {
    const known = tail();
    const asked = before(known);
    known.apply(record(11));
    known.apply(record(13));
    expect(known.agrees(asked, found(13, 11, "else"))).toBe(false);
  });
});

describe("after a repair", () => {
  it("a head that was trimmed is none any more: the next record follows what is left", () => {
    const known = tail([11]);
    known.caughtUp(found(20), "older");
    expect([known.head.seq, known.mark.seq]).toEqual([0, 20]);
    expect(known.judge(live(21, 0))).toBe("next");
    // Whoever reads live was sent it, and stands behind it.
    expect(known.end.seq).toBe(11);
  });

  it("what was read beyond the record that was found counts", () => {
    const known = tail();
    const finding = found(11, 11);
    for (const seq of [11, 12]) known.apply(record(seq));
    known.caughtUp(finding, "newer");
    expect([known.head.seq, known.mark.seq]).toEqual([12, 12]);
    expect(known.judge(live(12, 11))).toBe("repeat");
  });

  it("an end that the log has lost is no place to stand at", () => {
    const known = tail();
    known.confirm(found(20, 8));
    known.caughtUp(found(12, 8), "same");
    expect(known.mark.seq).toBe(12);
  });
});
