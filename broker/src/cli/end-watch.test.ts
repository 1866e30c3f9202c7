import type { KataEvent } from "@kata/realtime-client";
import { describe, expect, it } from "vitest";
import { createEndWatch } from "./end-watch.ts";

function event(type: string, payload: unknown = {}): KataEvent {
  const timestamp = "2026-11-23T10:00:00.000Z";
  return { type, channel: "agent:build", timestamp, eventId: "a-1-0000", encoding: "json", payload };
}

const line = event("log_entry", { message: "m" });
const end = (reason: unknown = "completed") => event("stream_ended", { reason });

describe("[EVENT-6] a stream that is read is over", () => {
  it("when replay ends with its end", () => {
    const watch = createEndWatch();
    expect([watch.handed(line), watch.handed(end()), watch.caughtUp()]).toEqual([false, false, true]);
  });

  it("not at an end that history goes on after", () => {
    const watch = createEndWatch();
    expect([watch.handed(end()), watch.handed(line), watch.caughtUp()]).toEqual([false, false, false]);
    expect([watch.handed(line), watch.handed(end())]).toEqual([false, true]);
  });

  it("not while nothing was read", () => {
    const watch = createEndWatch();
    expect([watch.caughtUp(), watch.handed(line), watch.caughtUp()]).toEqual([false, false, false]);
  });

  it("at the first end after replay, also in what a lost connection has to catch up on", () => {
    const watch = createEndWatch();
    expect([watch.caughtUp(), watch.handed(line), watch.handed(end())]).toEqual([false, false, true]);
  });

  it("not at an old end that is read again after a gap", () => {
    const watch = createEndWatch();
    expect([watch.caughtUp(), watch.handed(line)]).toEqual([false, false]);
    watch.gap();
    expect([watch.handed(end()), watch.handed(line), watch.caughtUp()]).toEqual([false, false, false]);
    expect(watch.handed(end())).toBe(true);
  });

  it.each([
    ["completed", 0],
    ["failed", 3],
    ["cancelled", 3],
    ["a word of the application's", 0],
    [7, 0],
    [undefined, 0],
  ])("with the reason %j it is exit code %i", (reason, code) => {
    const watch = createEndWatch();
    watch.handed(end(reason));
    expect(watch.exitCode).toBe(code);
  });

  it.each([[null], ["failed"], [["failed"]]])("a payload of another shape is an end like any other: %j", (payload) => {
    const watch = createEndWatch();
    watch.handed(event("stream_ended", payload));
    expect([watch.caughtUp(), watch.exitCode]).toEqual([true, 0]);
  });
});
