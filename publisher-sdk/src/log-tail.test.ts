import { expect, test } from "vitest";
import { LogTail } from "./log-tail.ts";

const facts = (epoch: string, lastSeq: number) => ({ epoch, lastSeq, duplicateWindowMs: 120_000 });

test("sequences of a stream only rise", () => {
  const tail = new LogTail();
  expect(tail.adopt(facts("a", 10))).toBe(true);
  expect([11, 15, 15, 14, 16].map((seq) => tail.acknowledge(seq))).toEqual([true, true, false, false, true]);
  expect(tail.knownSeq).toBe(16);
});

test("an acknowledgement that was overtaken by the stream's own answer counts", () => {
  const tail = new LogTail();
  tail.adopt(facts("a", 10));
  expect(tail.acknowledge(9)).toBe(true);
  expect(tail.knownSeq).toBe(10);
});

test("a stream that was made anew, or lost its end, starts over from where it says it is", () => {
  const tail = new LogTail();
  tail.adopt(facts("a", 0));
  tail.acknowledge(50);
  expect(tail.adopt(facts("a", 40))).toBe(false);
  expect([tail.knownSeq, tail.acknowledge(41)]).toEqual([40, true]);
  expect(tail.adopt(facts("b", 3))).toBe(true);
  expect([tail.knownSeq, tail.acknowledge(4)]).toEqual([3, true]);
});
