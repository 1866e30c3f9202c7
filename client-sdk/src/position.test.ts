import { parseEventId } from "@kata/protocol/wire";
import { expect, test } from "vitest";
import { confirm, handOver, NOWHERE, type Position, positionAt } from "./position.ts";
import { at } from "./testing/messages.ts";

function hand(position: Position, eventId: string): Position | undefined {
  const parsed = parseEventId(eventId);
  if (parsed === undefined) throw new Error(`${eventId} is no eventId`);
  return handOver(position, eventId, parsed);
}

test.each([
  ["the next record", at(7), at(8), true],
  ["the next event of the same record", at(7), at(7, 1), true],
  ["a much later record", at(7, 3), at(900), true],
  ["the same event", at(7), at(7), false],
  ["the same event inside a record", at(7, 2), at(7, 2), false],
  ["an earlier event of the same record", at(7, 2), at(7, 1), false],
  ["an earlier record", at(7), at(6, 9), false],
  ["a record whose sequence is shorter but smaller as text", at(9), at(10), true],
  ["an event of another epoch", at(7), at(3, 0, "e2"), true],
])("[ORDER-1] %s: %s, then %s, is handed over: %s", (_what, position, next, handed) => {
  const after = hand(positionAt(position), next);
  expect(after?.resume).toBe(handed ? next : undefined);
});

test("the first event of a channel whose position is not known is handed over", () => {
  expect(hand(NOWHERE, at(1))?.resume).toBe(at(1));
  expect(hand(positionAt("what an older version wrote"), at(1))?.resume).toBe(at(1));
});

test.each([
  ["later", at(7), at(90), at(90)],
  ["the same record", at(7, 2), at(7, 5), at(7, 2)],
  ["earlier", at(7), at(6), at(7)],
  ["of another epoch", at(7), at(90, 0, "e2"), at(7)],
  ["no position", at(7), "0-0-0000", at(7)],
  ["no eventId", at(7), "nonsense", at(7)],
])("[PING-1] a pong's position that is %s: %s, then %s, resumes from %s", (_what, position, confirmed, resume) => {
  expect(confirm(positionAt(position), confirmed).resume).toBe(resume);
});

test("[PING-1] a pong says nothing to a channel without a position", () => {
  expect(confirm(NOWHERE, at(9))).toBe(NOWHERE);
});

test("a pong that promised too much costs no event: what follows is judged by what was handed over", () => {
  const promised = confirm(positionAt(at(7)), at(90));
  const after = hand(promised, at(8));
  expect(after?.resume).toBe(at(8));
});
