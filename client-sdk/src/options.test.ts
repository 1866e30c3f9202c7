import { afterEach, expect, test, vi } from "vitest";
import { createRealtimeClient } from "./client.ts";
import { MAX_TIMER_MS } from "./clock.ts";
import { settingsOf } from "./options.ts";

const url = "ws://broker.test";

afterEach(() => vi.unstubAllGlobals());

test("defaults, in milliseconds", () => {
  expect(settingsOf({ url, apiKey: "k" })).toEqual({
    url: "ws://broker.test/ws",
    protocols: ["kata.v1.ndjson", "kata.v1", "bearer.k"],
    backoff: { minMs: 250, maxMs: 10_000 },
    pingIntervalMs: 15_000,
    timeoutMs: 10_000,
    connectTimeoutMs: 10_000,
  });
});

test("[CONNECT-2] [CONNECT-3] credentials are a subprotocol; without ndjson one envelope a frame is asked for", () => {
  expect(settingsOf({ url, token: "a.b.c", ndjson: false }).protocols).toEqual(["kata.v1", "bearer.a.b.c"]);
});

test.each([
  ["no credentials", {}],
  ["two", { apiKey: "secret", token: "secret" }],
  ["an empty key", { apiKey: "" }],
  ["a key that no header could carry", { apiKey: "secret, secret" }],
  ["no delay", { apiKey: "secret", pingIntervalMs: 0 }],
  ["a delay that no timer can take", { apiKey: "secret", timeoutMs: MAX_TIMER_MS + 1 }],
  ["no number", { apiKey: "secret", connectTimeoutMs: Number.NaN }],
  ["a backoff upside down", { apiKey: "secret", backoff: { minMs: 11_000 } }],
])("%s is a caller's mistake, and the error does not repeat the credentials", (_what, options) => {
  const create = () => settingsOf({ url, ...options });
  expect(create).toThrow(TypeError);
  expect(create).not.toThrow(/secret/);
});

test("a host without a WebSocket is told to pass one", () => {
  vi.stubGlobal("WebSocket", undefined);
  expect(() => createRealtimeClient({ url, apiKey: "k" })).toThrow(/no WebSocket.*"ws"/);
});
