import { expect, test } from "vitest";
import { PublisherError } from "./errors.ts";
import { Lane, type LanePort } from "./lane.ts";
import type { OutgoingRecord, PublishResult } from "./record.ts";

function rig(limits: Partial<LanePort> = {}) {
  const sent: OutgoingRecord[] = [];
  const log: string[] = [];
  let ids = 0;
  const clock = { now: 0 };
  const port: LanePort = {
    now: () => clock.now,
    recordBytes: () => 100,
    recordEvents: 3,
    fillMs: 1_000,
    publishTimeoutMs: Infinity,
    identify: (_, key) => (key === undefined ? { messageId: `m${ids++}` } : { messageId: key, publishId: `p${ids++}` }),
    send: (record) => sent.push(record),
    settled: (lane, record) => {
      log.push(`settled ${record.identity.messageId}`);
      lane.advance();
    },
    problem: () => "nobody is there",
    ...limits,
  };
  const lane = new Lane("agent:a1", "kata.team.t1.agent.a1", port);
  const push = (line: string, key?: string): void => {
    lane.push(
      line,
      line.length,
      key,
      (r: PublishResult) => log.push(r.eventId),
      (e) => log.push(`${e.code} ${line}`),
    );
  };
  return { lane, sent, log, push, clock, lines: () => sent.map((record) => Buffer.from(record.data).toString()) };
}

test("one record is in flight; the next is sent when the log has it", () => {
  const { lane, sent, log, push, lines } = rig();
  push("a");
  lane.advance();
  push("b");
  push("c");
  lane.advance();
  expect(lines()).toEqual(["a"]);
  sent[0]?.succeed("e", 5, false);
  expect(lines()).toEqual(["a", "b\nc"]);
  sent[1]?.succeed("e", 9, false);
  expect(lane.tail).toBeUndefined();
  expect(log.map((line) => line.replace(/-[0-9a-z]{4}/, ""))).toEqual([
    "e-5",
    "settled m0",
    "e-9",
    "e-9.1",
    "settled m1",
  ]);
});

test("a record is bounded in events and bytes, a single larger event has one of its own", () => {
  const { lane, sent, push, lines } = rig();
  for (const line of ["1", "2", "3", "4", "x".repeat(98), "y".repeat(200), "5"]) push(line);
  lane.advance();
  for (let i = 0; i < 4; i++) sent[i]?.succeed("e", i + 1, false);
  expect(lines()).toEqual(["1\n2\n3", `4\n${"x".repeat(98)}`, "y".repeat(200), "5"]);
});

test("an event with a key is alone in its record", () => {
  const { lane, sent, push, lines } = rig();
  push("1");
  push("2", "k");
  push("3");
  lane.advance();
  for (let i = 0; i < 2; i++) sent[i]?.succeed("e", i + 1, false);
  expect(lines()).toEqual(["1", "2", "3"]);
  expect(sent.map((record) => record.keyed)).toEqual([false, true, false]);
});

test("what waits too long is rejected from the front, before anything later is sent", () => {
  const { lane, sent, log, push, clock } = rig({ publishTimeoutMs: 5_000 });
  push("a");
  lane.advance();
  // Events that came more than fillMs apart do not share a record, or the later would be given up with the earlier.
  push("b");
  clock.now = 2_000;
  push("c");
  clock.now = 5_000;
  lane.expire();
  expect(log).toEqual(["unavailable b", "settled m1"]);
  expect(sent).toHaveLength(1);
  clock.now = 7_000;
  sent[0]?.succeed("e", 1, false);
  expect(log.slice(2)).toEqual([expect.stringContaining("e-1-"), "settled m0", "unavailable c", "settled m2"]);
  expect(sent).toHaveLength(1);
});

test("records that fail while they are being sent do not pile up on the stack", () => {
  const failing = rig({
    recordEvents: 1,
    send: (record) => record.fail(new PublisherError("too_large", "no")),
  });
  for (let i = 0; i < 50_000; i++) failing.push("x");
  failing.lane.advance();
  expect(failing.log).toHaveLength(100_000);
  expect(failing.lane.tail).toBeUndefined();
});
