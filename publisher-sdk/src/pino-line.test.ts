import { describe, expect, test } from "vitest";
import { encodeLine } from "./event.ts";
import { eventsOfPinoLine } from "./pino-line.ts";

function eventOf(line: unknown, options?: { messageKey?: string }) {
  const events = eventsOfPinoLine({ message: typeof line === "string" ? line : JSON.stringify(line) }, options);
  expect(events).toHaveLength(1);
  const [event] = events;
  if (event === undefined) throw new Error("no event");
  return JSON.parse(encodeLine(event)) as { timestamp: string; payload: Record<string, unknown>; traceparent?: string };
}

describe("a pino line", () => {
  test.each([
    [1, "trace"],
    [10, "trace"],
    [20, "debug"],
    [29, "debug"],
    [30, "info"],
    [35, "info"],
    [40, "warn"],
    [50, "error"],
    [60, "fatal"],
    [100, "fatal"],
    ["warn", "warn"],
  ])("of level %j is %s", (level, name) => {
    expect(eventOf({ level, msg: "m" }).payload).toEqual({ message: "m", level: name });
  });

  test.each([
    [1_700_000_000_123, "2023-11-14T22:13:20.123Z"],
    [1_700_000_000, "2023-11-14T22:13:20.000Z"],
    [1_700_000_000.5, "2023-11-14T22:13:20.500Z"],
    ["2023-11-14T22:13:20.123456789Z", "2023-11-14T22:13:20.123456789Z"],
    ["2023-11-14T23:13:20.123+01:00", "2023-11-14T22:13:20.123Z"],
  ])("of time %j is of %s", (time, timestamp) => {
    const event = eventOf({ time, msg: "m" });
    expect(event.timestamp).toBe(timestamp);
    expect(event.payload).toEqual({ message: "m" });
  });

  test.each([
    ["time", "yesterday"],
    ["time", 1e300],
    ["time", null],
    // Microseconds, and years that RFC 3339 has no digits for.
    ["time", 1_700_000_000_123_000],
    ["time", -1e14],
    ["time", "2026-02-30T00:00:00Z"],
    ["time", "2026-01-31T24:00:00Z"],
    ["time", "2026-01-31T12:00:60Z"],
    ["time", "9999-12-31T23:59:59-01:00"],
    ["level", "verbose"],
    ["level", null],
    ["name", 7],
    ["traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01"],
  ])("keeps a %s that is none (%j) among its fields", (name, value) => {
    const event = eventOf({ msg: "m", [name]: value });
    expect(event.payload).toEqual({ message: "m", fields: { [name]: value } });
    expect(Math.abs(Date.parse(event.timestamp) - Date.now())).toBeLessThan(60_000);
  });

  test("keeps what its object has, whatever it is called", () => {
    const line =
      '{"level":30,"msg":"m","__proto__":{"a":1},"constructor":2,"toString":3,"message":"own","a":{"b":[1]}}';
    expect(JSON.stringify(eventOf(line).payload)).toBe(
      '{"message":"m","level":"info","fields":{"__proto__":{"a":1},"constructor":2,"toString":3,"message":"own","a":{"b":[1]}}}',
    );
  });

  test("takes its message from the key it is told, and writes one that is no text as JSON", () => {
    expect(eventOf({ message: "m", msg: 1 }, { messageKey: "message" }).payload).toEqual({
      message: "m",
      fields: { msg: 1 },
    });
    expect(eventOf({ msg: { a: 1 } }).payload).toEqual({ message: '{"a":1}' });
    expect(eventOf({ msg: null }).payload).toEqual({ message: "null" });
    expect(eventOf({ a: 1 }).payload).toEqual({ message: "", fields: { a: 1 } });
    expect(eventOf({ err: { message: "broken" } }).payload).toEqual({
      message: "broken",
      fields: { err: { message: "broken" } },
    });
  });

  test("of OpenTelemetry has its trace context; flags that are not said are none", () => {
    const ids = { trace_id: "0af7651916cd43dd8448eb211c80319c", span_id: "b7ad6b7169203331" };
    expect(eventOf({ msg: "m", ...ids, trace_flags: "01" }).traceparent).toBe(
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    );
    expect(eventOf({ msg: "m", ...ids }).traceparent).toBe("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
    const event = eventOf({ msg: "m", ...ids, span_id: "7" });
    expect(event.traceparent).toBeUndefined();
    expect(event.payload).toEqual({ message: "m", fields: { ...ids, span_id: "7" } });
  });

  test.each(["plain text", "{broken", "[1]", "null", '"text"', " {}", "{}x"])(
    "that is no object is a message: %j",
    (line) => {
      expect(eventOf(line).payload).toEqual({ message: line });
    },
  );

  test("that is empty is none, and one that is too long is as many as it takes", () => {
    expect(eventsOfPinoLine({ message: "" })).toEqual([]);
    const long = "\u0001".repeat(200_000);
    const payloads = eventsOfPinoLine({ message: long }).map((event) => event.payload as { message: string });
    expect(payloads.map(({ message }) => message).join("")).toBe(long);
    expect(payloads.at(-1)).toMatchObject({ part: payloads.length });
    const part = { message: '{"a":', part: 1, more: true } as const;
    expect(eventsOfPinoLine(part)).toEqual([{ type: "log_entry", payload: part }]);
  });
});
