import { CONTROL_TYPES } from "@kata/protocol/wire";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decode, linesOf, MalformedMessage } from "./decode.ts";
import * as say from "./testing/messages.ts";

const C = "team:t1";

const GOOD: Record<string, object> = {
  event: say.event(C, say.at(1)),
  subscribed: say.subscribed(C, say.at(1), { recovery: "complete", id: 1 }),
  caught_up: say.caughtUp(C, say.at(1)),
  unsubscribed: say.unsubscribed(C, say.at(1), 1),
  error: say.error("unavailable", true),
  pong: say.pong("0-0-0000", 1),
  authenticated: { ...say.reconnect(1), type: "authenticated", payload: { teamId: "t1" } },
  reconnect: say.reconnect(100),
};

test("every control type and events are read", () => {
  expect(Object.keys(GOOD).sort()).toEqual(["event", ...CONTROL_TYPES].sort());
  for (const [kind, message] of Object.entries(GOOD)) expect(decode(JSON.stringify(message)).kind).toBe(kind);
});

test("[ENVELOPE-5] fields that are not known are ignored", () => {
  for (const message of Object.values(GOOD)) {
    expect(() => decode(JSON.stringify({ ...message, brandNew: true }))).not.toThrow();
  }
});

test("an event keeps everything that was published, unknown fields included", () => {
  const message = { ...say.event(C, say.at(1)), type: "deploy.done", payload: [1, { a: null }], trace: "t" };
  expect(decode(JSON.stringify(message))).toMatchObject({ kind: "event", channel: C, event: message });
});

test("[RESUME-4] a gap's reason that is not known is passed on, and none is unknown", () => {
  const gap = (reason?: string) => decode(JSON.stringify(say.subscribed(C, say.at(1), { recovery: "gap", reason })));
  expect(gap("frozen_over")).toMatchObject({ reason: "frozen_over" });
  expect(gap()).toMatchObject({ reason: "unknown" });
});

test.each<[string, string]>([
  ["no JSON", "{"],
  ["no object", "[]"],
  ["null", "null"],
  ["no type", "{}"],
  ["a type that no event can have", JSON.stringify({ ...GOOD.event, type: "Bad Type" })],
  ["an event without an eventId", JSON.stringify({ ...GOOD.event, eventId: undefined })],
  ["an event without a channel", JSON.stringify({ ...GOOD.event, channel: 7 })],
  ["subscribed without a recovery", JSON.stringify(say.subscribed(C, say.at(1), {}))],
  ["subscribed without a position", JSON.stringify(say.subscribed(C, "nowhere", { recovery: "fresh" }))],
  ["a control message without a payload", JSON.stringify({ ...GOOD.caught_up, payload: null })],
  ["an error without a code", JSON.stringify({ ...GOOD.error, payload: {} })],
  ["a reconnect without a delay", JSON.stringify({ ...GOOD.reconnect, payload: { afterMs: "soon" } })],
  ["a reconnect in the past", JSON.stringify(say.reconnect(-1))],
])("%s is malformed", (_what, line) => {
  expect(() => decode(line)).toThrow(MalformedMessage);
});

test("whatever a frame holds, it is read or it is malformed: nothing else is thrown, nothing is repeated", () => {
  const junk = fc.oneof(
    fc.string(),
    fc.json(),
    fc.object().map((value) => JSON.stringify({ ...GOOD.event, ...value })),
  );
  fc.assert(
    fc.property(junk, (line) => {
      try {
        decode(line);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedMessage);
      }
    }),
  );
});

test("[CONNECT-3] with ndjson a frame is an envelope a line; without, it is one envelope", () => {
  expect(linesOf("a\nb", true)).toEqual(["a", "b"]);
  expect(linesOf("a\nb", false)).toEqual(["a\nb"]);
});

test("[ENVELOPE-1] a binary frame is malformed", () => {
  expect(() => linesOf(new Uint8Array(1), true)).toThrow(MalformedMessage);
});
