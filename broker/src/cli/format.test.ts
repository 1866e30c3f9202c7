import type { KataEvent } from "@kata/realtime-client";
import { describe, expect, it } from "vitest";
import { formatEvent } from "./format.ts";

const NOW = new Date(2026, 0, 31, 23, 59);
const AT = new Date(2026, 0, 31, 9, 5, 7, 42);

function event(payload: unknown, fields: Partial<KataEvent> = {}): KataEvent {
  return {
    type: "log_entry",
    channel: "agent:build",
    timestamp: AT.toISOString(),
    eventId: "a-1-0000",
    encoding: "json",
    payload,
    ...fields,
  } as KataEvent;
}

const format = (payload: unknown, fields: Partial<KataEvent> = {}) =>
  formatEvent(event(payload, fields), { colour: false, now: NOW });

describe("formatEvent", () => {
  it("prints a log entry as local time, level, source, message, fields", () => {
    const payload = { message: "done", level: "warn", source: "ci", fields: { ms: 12 } };
    expect(format(payload)).toBe('09:05:07.042 WARN  ci done {"ms":12}');
  });

  it("takes an entry without a level for info, and leaves out what is not there", () => {
    expect(format({ message: "done", fields: {} })).toBe("09:05:07.042 INFO  done");
  });

  it("prints another type with its payload as JSON", () => {
    expect(format({ taskId: "t1" }, { type: "task_completed" })).toBe('09:05:07.042 task_completed {"taskId":"t1"}');
  });

  it("gives an event of another day its date", () => {
    const timestamp = new Date(2025, 11, 31, 23, 59, 59, 999).toISOString();
    expect(format({ message: "m" }, { timestamp })).toBe("2025-12-31 23:59:59.999 INFO  m");
  });

  it("shows a timestamp that is none", () => {
    expect(format({ message: "m" }, { timestamp: "soon\x07" })).toBe("soon\\x07 INFO  m");
  });

  // The broker checks that an event is one, not the shape of its payload [EVENT-4].
  it.each([
    [undefined, "log_entry "],
    [null, "log_entry null"],
    ["text", 'log_entry "text"'],
    [{}, "INFO  "],
    [{ message: 5, level: 7, source: {}, fields: "x" }, "INFO  5"],
    [{ message: { a: "\u009b" }, level: "toString" }, 'TOSTRING {"a":"\\x9b"}'],
  ])("prints a payload of any shape: %j", (payload, expected) => {
    expect(format(payload)).toBe(`09:05:07.042 ${expected}`);
  });

  it("sends no control character of the producer's, whichever field it is in", () => {
    const hostile = Array.from({ length: 0xa0 }, (_, code) => String.fromCharCode(code)).join("");
    const bad = `${hostile}\u2028\u2029\u202e\u2066`;
    const printed = [
      format({ message: bad, level: bad, source: bad, fields: { [bad]: bad } }),
      format({ [bad]: bad }, { type: bad }),
      format({ message: "m" }, { timestamp: bad }),
    ].join("");
    expect(printed.replaceAll("\t", "")).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\u202e\u2066]/u);
  });

  it.each([
    ["info", "\x1b[32mINFO \x1b[39m"],
    ["error", "\x1b[31mERROR\x1b[39m"],
    ["fatal", "\x1b[1m\x1b[31mFATAL\x1b[39m\x1b[22m"],
    ["odd", "ODD  "],
  ])("colours by level: %s", (level, tag) => {
    const line = formatEvent(event({ message: "m", level }), { colour: true, now: NOW });
    expect(line).toBe(`\x1b[2m09:05:07.042\x1b[22m ${tag} m`);
  });
});
