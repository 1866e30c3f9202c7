import { expect, test } from "vitest";
import { PublisherError } from "./errors.ts";
import { type AwaitedEvent, Lane, type LanePort } from "./lane.ts";
import { Refusal } from "./outcome.ts";
import type { OutgoingRecord } from "./record.ts";

function rig(limits: Partial<LanePort> = {}) {
  const sent: OutgoingRecord[] = [];
  const lines: string[] = [];
  const log: string[] = [];
  let ids = 0;
  const clock = { now: 0 };
  const port: LanePort = {
    now: () => clock.now,
    recordBytes: () => 100,
    recordEvents: 3,
    identify: (_, key) => (key === undefined ? { messageId: `m${ids++}` } : { messageId: key, publishId: `p${ids++}` }),
    takeTurn: () => true,
    giveTurn: () => {},
    complete: () => {},
    send: (record) => {
      sent.push(record);
      lines.push(Buffer.from(record.data).toString());
    },
    settled: (lane, record) => {
      log.push(`settled ${record.identity.messageId}`);
      lane.advance();
    },
    late: ({ timeoutMs }) => new PublisherError("unavailable", `not sent within ${timeoutMs} ms`),
    ...limits,
  };
  const lane = new Lane("agent:a1", "kata.team.t1.agent.a1", port);
  const event = (line: string, timeoutMs = Infinity): AwaitedEvent => ({
    line,
    timeoutMs,
    settle: (outcome) => void log.push(outcome instanceof Refusal ? `${outcome.error.code} ${line}` : outcome.eventId),
  });
  const push = (line: string, key?: string, timeoutMs?: number) => lane.push(event(line, timeoutMs), key);
  return {
    lane,
    sent,
    log,
    event,
    push,
    clock,
    lines: () => lines,
  };
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
  const { lane, sent, log, push, clock } = rig();
  push("a", undefined, 5_000);
  lane.advance();
  // Events whose time is up more than a second apart do not share a record, or the later would be given up with the earlier.
  push("b", undefined, 5_000);
  clock.now = 2_000;
  push("c", undefined, 5_000);
  clock.now = 5_000;
  lane.expire();
  expect(log).toEqual(["unavailable b", "settled m1"]);
  expect(sent).toHaveLength(1);
  clock.now = 7_000;
  sent[0]?.succeed("e", 1, false);
  expect(log.slice(2)).toEqual([expect.stringContaining("e-1-"), "settled m0", "unavailable c", "settled m2"]);
  expect(sent).toHaveLength(1);
});

test("each event has its own time: one that is up earlier goes from among those that wait longer", () => {
  const { lane, sent, log, push, clock, lines } = rig();
  push("a");
  lane.advance();
  push("b");
  push("c", undefined, 100);
  push("d", "k", 100);
  push("e");
  push("f", undefined, 200);
  clock.now = 100;
  lane.expire();
  expect(log).toEqual(["unavailable c", "settled m2", "unavailable d", "settled k"]);
  sent[0]?.succeed("e", 1, false);
  sent[1]?.succeed("e", 2, false);
  expect(lines()).toEqual(["a", "b", "e"]);
  clock.now = 200;
  sent[2]?.succeed("e", 3, false);
  expect(log.at(-2)).toBe("unavailable f");
  expect(lane.tail).toBeUndefined();
});

test("events that are never given up share a record, however far apart they come", () => {
  const { lane, sent, push, clock, lines } = rig();
  push("a");
  lane.advance();
  push("b");
  clock.now = 60_000;
  push("c");
  sent[0]?.succeed("e", 1, false);
  expect(lines()).toEqual(["a", "b\nc"]);
});

test("an event that is taken back leaves the others as they were", () => {
  for (const gone of [0, 1, 2]) {
    const { lane, sent, log, event, lines } = rig();
    const events = ["uno", "2", "drei"].map((line) => event(line));
    const records = events.map((each) => lane.push(each));
    const line = events[gone] as AwaitedEvent;
    records[gone]?.count();
    expect(records[gone]?.withdraw(line.settle)).toBe(true);
    expect(records[gone]?.count()).toBe(-(line.line.length + 256));
    lane.push(event("vier"));
    lane.advance();
    const left = ["uno", "2", "drei"].filter((_, i) => i !== gone);
    expect(lines()).toEqual([[...left, "vier"].join("\n")]);
    sent[0]?.succeed("e", 1, false);
    expect(log).toHaveLength(4);
  }
});

test("a record of which everything was taken back is not sent, and the next one is", () => {
  const { lane, log, event, push, lines } = rig();
  const taken = event("a");
  const record = lane.push(taken, "k");
  push("b");
  expect(record.withdraw(taken.settle)).toBe(true);
  expect(record.withdraw(taken.settle)).toBe(false);
  lane.advance();
  expect(lines()).toEqual(["b"]);
  expect(log).toEqual(["settled k"]);
});

test("events under one key are one record, beyond what the lane would put together", () => {
  const { lane, event, push, lines, sent } = rig();
  push("a");
  const identity = { messageId: "m", publishId: "p", key: "k" };
  const record = lane.pushTogether(
    ["1", "2", "3", "4"].map((line) => event(line)),
    identity,
  );
  push("b");
  lane.advance();
  for (let i = 0; i < 2; i++) sent[i]?.succeed("e", i + 1, false);
  expect(lines()).toEqual(["a", "1\n2\n3\n4", "b"]);
  expect(record.digest).toMatch(/^4\.[A-Za-z0-9_-]{43}$/);
  expect(sent[0]?.digest).toBeUndefined();
});

test("what is settled holds on to nothing: neither what it held nor the record behind it", () => {
  const { lane, sent, event, clock } = rig({ recordBytes: () => 100_000 });
  // More than one piece of memory.
  const lines = ["a", "b", "c"].map((letter) => event(letter.repeat(15_000)));
  for (const each of lines) lane.push(each);
  lane.push(event("k"), "k");
  lane.advance();
  const [first] = sent;
  let told = 0;
  first?.onSettled(() => told++);
  expect(first?.next).toBeUndefined();
  first?.succeed("e", 1, false);
  first?.settle();
  expect(told).toBe(1);
  expect(first?.data).toHaveLength(0);
  for (const { settle } of lines) expect(first?.withdraw(settle)).toBe(false);
  expect(first).toMatchObject({ events: 3, bytes: 45_002 });
  // Nor does what is given up out of the middle of the queue.
  lane.push(event("c"), "k2");
  const given = lane.push(event("l".repeat(15_000), 100));
  expect(lane.push(event("l".repeat(15_000), 100))).toBe(given);
  lane.push(event("d"), "k3");
  clock.now = 100;
  lane.expire();
  expect(given.error).toMatchObject({ code: "unavailable" });
  expect(given.next).toBeUndefined();
  expect(given.data).toHaveLength(0);
});

test("records take no more memory than they count for, however long the one before them was", () => {
  const taken: number[] = [];
  const sent: OutgoingRecord[] = [];
  const { lane, push } = rig({
    recordBytes: () => 100_000,
    recordEvents: 1_000,
    send: (record) => {
      sent.push(record);
      taken.push(record.data.buffer.byteLength);
    },
  });
  for (let i = 0; i < 300; i++) push("x".repeat(100));
  lane.advance();
  // Behind it: with keys of their own, and with times that lie apart.
  for (let i = 0; i < 5; i++) push("y", `k${i}`);
  for (let i = 0; i < 12; i++) push("z", undefined, i % 4 < 2 ? 10_000 : 60_000);
  for (let i = 0; i < 12; i++) sent[i]?.succeed("e", i + 1, false);
  expect(sent.map(({ events }) => events)).toEqual([300, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
  // What is small comes out of Node's pool.
  expect(taken[0]).toBeGreaterThan(30_000);
  for (const bytes of taken.slice(1)) expect(bytes).toBeLessThanOrEqual(Buffer.poolSize);
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
