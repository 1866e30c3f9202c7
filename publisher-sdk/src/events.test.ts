import { PayloadSchemas } from "@kata/protocol";
import type { AnyEvents, EventMap, EventPayloads } from "@kata/protocol/wire";
import { describe, expect, expectTypeOf, it } from "vitest";
import { createLineEncoder, type EventInput, encodeLine } from "./event.ts";
import {
  agentStatusChanged,
  blockerRaised,
  type EventInputOf,
  logEntry,
  specUpdated,
  streamEnded,
  taskCompleted,
} from "./events.ts";

const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER_TRACE = "00-11111111111111111111111111111111-2222222222222222-00";
const AT = "2026-11-23T10:00:00.000Z";

describe("typed events", () => {
  it.each([
    agentStatusChanged({ agentId: "a1", status: "busy", previousStatus: "idle" }),
    logEntry({ message: "built", level: "info", source: "ci", fields: { ms: 12 } }),
    specUpdated({ specId: "s1", version: 3 }),
    taskCompleted({ taskId: "t1", result: "ok" }),
    blockerRaised({ reason: "no key", severity: "high" }),
    streamEnded({ reason: "completed", exitCode: 0 }),
  ])("[EVENT-1] $type is an event of that type, with a payload that its schema takes", ({ type, payload }) => {
    expect(PayloadSchemas[type].parse(payload)).toEqual(payload);
    expect(JSON.parse(encodeLine({ type, payload }))).toMatchObject({ type, payload });
  });

  it("carry what comes with them", () => {
    const meta = { timestamp: AT, idempotencyKey: "k", traceparent: TRACE };
    expect(logEntry({ message: "m" }, meta)).toEqual({ type: "log_entry", payload: { message: "m" }, ...meta });
    expect(logEntry({ message: "m" })).toEqual({ type: "log_entry", payload: { message: "m" } });
  });

  it("are checked by the compiler", () => {
    expectTypeOf(streamEnded({ reason: "completed" })).toExtend<
      EventInput<"stream_ended", EventPayloads["stream_ended"]>
    >();
    // @ts-expect-error: no message
    logEntry({ level: "info" });
    // @ts-expect-error: no such level
    logEntry({ message: "m", level: "loud" });
    // @ts-expect-error: a reason is a string
    streamEnded({ reason: 1 });
    // @ts-expect-error: a timestamp is a string or a Date
    logEntry({ message: "m" }, { timestamp: 5 });
  });
});

/** As a publisher is: what the compiler lets through ends up in `taken`. */
function publisherOf<E extends EventMap = AnyEvents>() {
  const taken: EventInputOf<E>[] = [];
  return { taken, publish: (event: EventInputOf<E>) => void taken.push(event) };
}

describe("a publisher of an application's own events", () => {
  interface Events {
    "deploy.done": { readonly version: string };
    "deploy.started": null;
    log_entry: { readonly requestId: string };
  }

  it("takes them and the protocol's", () => {
    const { publish, taken } = publisherOf<Events>();
    publish({ type: "deploy.done", payload: { version: "1.2" }, idempotencyKey: "k", traceparent: TRACE });
    publish({ type: "deploy.started", payload: null });
    publish({ type: "task_completed", payload: { taskId: "t1", more: true } });
    publish(streamEnded({ reason: "completed" }));
    publish(logEntry({ message: "m", requestId: "r1" }));
    expect(taken.map(({ type }) => type)).toEqual([
      "deploy.done",
      "deploy.started",
      "task_completed",
      "stream_ended",
      "log_entry",
    ]);
  });

  it("is told by the compiler of a wrong payload and of a type that is none", () => {
    const { publish } = publisherOf<Events>();
    // @ts-expect-error: the version is a string
    publish({ type: "deploy.done", payload: { version: 1 } });
    // @ts-expect-error: no version
    publish({ type: "deploy.done", payload: {} });
    // @ts-expect-error: a misspelt type
    publish({ type: "deploy.don", payload: { version: "1.2" } });
    // @ts-expect-error: a type of the protocol has its payload
    publish({ type: "task_completed", payload: {} });
    // @ts-expect-error: this application's entries have a requestId
    publish(logEntry({ message: "m" }));
    // @ts-expect-error: and a message, as all have
    publish({ type: "log_entry", payload: { requestId: "r1" } });
    // @ts-expect-error: an event of any type may be one that it has not
    publish({ type: "deploy.done", payload: { version: "1.2" } } as EventInput);
    expectTypeOf<EventInputOf<Events>["type"]>().toEqualTypeOf<
      | "deploy.done"
      | "deploy.started"
      | "agent_status_changed"
      | "log_entry"
      | "spec_updated"
      | "task_completed"
      | "blocker_raised"
      | "stream_ended"
    >();
  });

  it("takes anything where nothing is said of the events", () => {
    const { publish, taken } = publisherOf();
    expectTypeOf<EventInputOf>().toEqualTypeOf<EventInput>();
    publish({ type: "whatever", payload: 1 });
    publish({ type: "log_entry", payload: "of another shape" });
    publish(logEntry({ message: "m" }));
    expect(taken).toHaveLength(3);
  });
});

describe("[ENVELOPE-2] a timestamp", () => {
  const timed = (timestamp: string) => {
    const line = encodeLine({ type: "log_entry", payload: { message: "m" }, timestamp });
    return (JSON.parse(line) as { timestamp: string }).timestamp;
  };

  it.each([
    ["2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"],
    ["2000-02-29T00:00:00.123456789Z", "2000-02-29T00:00:00.123456789Z"],
    ["2024-03-01T00:30:00+01:00", "2024-02-29T23:30:00.000Z"],
    ["2025-12-31T23:30:00-01:00", "2026-01-01T00:30:00.000Z"],
    ["2026-01-01T00:00:00+23:59", "2025-12-31T00:01:00.000Z"],
    ["0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"],
    ["9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"],
  ])("%s is stored in UTC as %s", (given, stored) => {
    expect(timed(given)).toBe(stored);
  });

  it.each([
    "2026-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2026-04-31T12:00:00+01:00",
    "2026-00-10T00:00:00Z",
    "2026-01-00T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:60:00Z",
    "2026-01-01T00:00:60Z",
    "2026-01-01T00:00:00",
    "9999-12-31T23:30:00-01:00",
    "2026-01-01T00:00:00Z\n",
  ])("%j is none", (timestamp) => {
    expect(() => timed(timestamp)).toThrow(expect.objectContaining({ code: "invalid_event" }));
  });
});

describe("[ENVELOPE-7] traceparent", () => {
  const event: EventInput = { type: "log_entry", payload: { message: "m" }, timestamp: AT };
  const line = `{"type":"log_entry","timestamp":"${AT}","encoding":"json","payload":{"message":"m"}}`;
  const traced = (trace: string) => line.replace(',"payload"', `,"traceparent":"${trace}","payload"`);

  it("stands in the event's line, and a line without one is as it always was", () => {
    expect(encodeLine(event)).toBe(line);
    expect(encodeLine({ ...event, traceparent: undefined })).toBe(line);
    expect(encodeLine({ ...event, traceparent: TRACE })).toBe(traced(TRACE));
    expect(createLineEncoder(undefined)(event)).toBe(line);
  });

  it.each([
    "",
    "no trace",
    `${TRACE}-more`,
    TRACE.toUpperCase(),
    `ff${TRACE.slice(2)}`,
    `00-${"0".repeat(32)}-b7ad6b7169203331-01`,
    `00-0af7651916cd43dd8448eb211c80319c-${"0".repeat(16)}-01`,
    `${TRACE}\n`,
    `${TRACE}","payload":{}}`,
    null as unknown as string,
    7 as unknown as string,
    [TRACE] as unknown as string,
  ])("that is malformed is refused: %j", (traceparent) => {
    expect(() => encodeLine({ ...event, traceparent })).toThrow(
      expect.objectContaining({ code: "invalid_event", message: expect.stringContaining("traceparent must be") }),
    );
  });

  it("is the current one for an event that brings none", () => {
    let current: string | undefined = TRACE;
    const encode = createLineEncoder(() => current);
    expect(encode(event)).toBe(traced(TRACE));
    expect(encode({ ...event, traceparent: OTHER_TRACE })).toBe(traced(OTHER_TRACE));
    current = OTHER_TRACE;
    expect(encode(event)).toBe(traced(OTHER_TRACE));
  });

  it("that a tracer outside any span says costs no event, and a tracer that throws is named", () => {
    for (const none of [undefined, "", `00-${"0".repeat(32)}-${"0".repeat(16)}-00`, null as unknown as string]) {
      expect(createLineEncoder(() => none)(event)).toBe(line);
    }
    const broken = createLineEncoder(() => {
      throw new Error("no context");
    });
    expect(() => broken(event)).toThrow(
      expect.objectContaining({ code: "invalid_event", message: expect.stringContaining("no context") }),
    );
    expect(broken({ ...event, traceparent: TRACE })).toBe(traced(TRACE));
  });
});
