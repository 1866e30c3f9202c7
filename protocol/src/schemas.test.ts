import { describe, expect, it } from "vitest";
import { CLOSE, ERRORS, mayReconnect } from "./codes.ts";
import { InboundCommandSchema } from "./inbound.ts";
import { OutboundMessageSchema, OutboundTypeSchema } from "./outbound.ts";
import { PayloadSchemas } from "./payloads.ts";
import { encodeEvent } from "./record.ts";
import { END_REASONS, EVENT_TYPES } from "./types.ts";

const at = { timestamp: "2026-11-23T10:00:00.000Z", eventId: "abc-1-00zz", encoding: "json" };
const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

describe("commands", () => {
  it.each([
    { type: "subscribe", channel: "team:t1" },
    { type: "subscribe", channel: "team:t1", lastEventId: "abc-1-00zz.3", id: 7 },
    { type: "subscribe", channel: "team:t1", rewind: { count: 10 }, id: "x" },
    { type: "subscribe", channel: "team:t1", rewind: { seconds: 0.5 } },
    { type: "subscribe", channel: "team:t1", rewind: "all" },
    { type: "unsubscribe", channel: "team:t1" },
    { type: "ping", id: 1 },
    { type: "auth", token: "t" },
  ])("[COMMAND-1] takes %j", (command) => {
    expect(InboundCommandSchema.parse(command)).toEqual(command);
  });

  it.each([
    null,
    [],
    {},
    { type: "nope" },
    { type: "subscribe" },
    { type: "subscribe", channel: 1 },
    { type: "subscribe", channel: "team:t1", lasteventid: "abc-1-00zz" },
    { type: "subscribe", channel: "team:t1", lastEventId: "a", rewind: "all" },
    { type: "subscribe", channel: "team:t1", rewind: { count: -1 } },
    { type: "subscribe", channel: "team:t1", rewind: { count: 1, seconds: 1 } },
    { type: "ping", id: "" },
    { type: "ping", id: 1.5 },
    { type: "auth" },
  ])("[COMMAND-1] refuses %j", (command) => {
    expect(InboundCommandSchema.safeParse(command).success).toBe(false);
  });
});

describe("envelopes", () => {
  it.each([
    { type: "subscribed", channel: "team:t1", ...at, payload: { recovery: "gap", reason: "expired", id: 1 } },
    { type: "caught_up", channel: "team:t1", ...at, payload: {} },
    { type: "unsubscribed", channel: "team:t1", ...at, payload: {} },
    { type: "error", ...at, payload: { code: "forbidden", message: "no", retryable: false, channel: "team:x" } },
    { type: "pong", ...at, payload: {} },
    { type: "authenticated", ...at, payload: { teamId: "t1" } },
    { type: "reconnect", ...at, payload: { afterMs: 10 } },
    { type: "log_entry", channel: "team:t1", ...at, payload: { message: "hello", own: 1 } },
    { type: "deploy.started", channel: "team:t1", ...at, payload: null },
    { type: "stream_ended", channel: "team:t1", ...at, payload: { reason: "completed" } },
    { type: "log_entry", channel: "team:t1", ...at, traceparent: TRACE, payload: { message: "hello" } },
    { type: "deploy.started", channel: "team:t1", ...at, traceparent: "no trace", payload: null },
  ])("[ENVELOPE-1] takes %j", (message) => {
    expect(OutboundMessageSchema.parse(message)).toEqual(message);
  });

  it.each([
    { type: "subscribed", ...at, payload: { recovery: "fresh" } },
    { type: "log_entry", channel: "team:t1", ...at, payload: {} },
    { type: "stream_ended", channel: "team:t1", ...at, payload: {} },
    { type: "deploy.started", channel: "team:t1", ...at, traceparent: 7, payload: null },
    { type: "Upper", channel: "team:t1", ...at, payload: {} },
    { type: "deploy", channel: "team:t1", ...at, eventId: "x", payload: {} },
  ])("[ENVELOPE-1] refuses %j", (message) => {
    expect(OutboundMessageSchema.safeParse(message).success).toBe(false);
  });

  it("[EVENT-1] [EVENT-6] every type of the protocol has a payload schema, and an end needs a reason", () => {
    expect(Object.keys(PayloadSchemas)).toEqual([...EVENT_TYPES]);
    const { stream_ended: schema } = PayloadSchemas;
    for (const reason of [...END_REASONS, "out of coffee"]) {
      expect(schema.parse({ reason, exitCode: 1 })).toEqual({ reason, exitCode: 1 });
    }
    for (const payload of [{}, { reason: "" }, { reason: 1 }, null]) {
      expect(schema.safeParse(payload).success).toBe(false);
    }
  });

  it("[EVENT-2] types are the protocol's, the application's or a control type", () => {
    expect(OutboundTypeSchema.safeParse("log_entry").success).toBe(true);
    expect(OutboundTypeSchema.safeParse("pong").success).toBe(true);
    expect(OutboundTypeSchema.safeParse("a.b_1").success).toBe(true);
    expect(OutboundTypeSchema.safeParse("1a").success).toBe(false);
  });
});

describe("codes", () => {
  it("[CLOSE-1] the range of a close code is its policy", () => {
    for (const code of [1000, 1006, 4000, CLOSE.tokenExpired, CLOSE.restarting, 4499])
      expect(mayReconnect(code)).toBe(true);
    for (const code of [4500, CLOSE.unauthenticated, CLOSE.revoked, 4999]) expect(mayReconnect(code)).toBe(false);
  });

  it("[ERROR-2] an error that closes the connection is retryable exactly when the client is to reconnect", () => {
    for (const policy of Object.values(ERRORS)) {
      if ("close" in policy) expect(mayReconnect(policy.close)).toBe(policy.retryable);
    }
  });
});

describe("records", () => {
  it("[EVENT-3] an event is one line whatever is in it", () => {
    const line = encodeEvent("log_entry", at.timestamp, { message: "a\nb\u2028c" });
    expect(line).not.toContain("\n");
    expect(JSON.parse(line ?? "")).toEqual({
      type: "log_entry",
      timestamp: at.timestamp,
      encoding: "json",
      payload: { message: "a\nb\u2028c" },
    });
    expect(encodeEvent("log_entry", at.timestamp, undefined)).toBeUndefined();
  });

  it("[ENVELOPE-7] an event's line has its traceparent, and nothing of the kind without one", () => {
    const line = encodeEvent("deploy", at.timestamp, 1) ?? "";
    expect(line).toBe(`{"type":"deploy","timestamp":"${at.timestamp}","encoding":"json","payload":1}`);
    expect(JSON.parse(encodeEvent("deploy", at.timestamp, 1, TRACE) ?? "")).toEqual({
      ...JSON.parse(line),
      traceparent: TRACE,
    });
  });
});
