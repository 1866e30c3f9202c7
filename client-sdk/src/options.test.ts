import { afterEach, expect, test, vi } from "vitest";
import { createRealtimeClient } from "./client.ts";
import { MAX_TIMER_MS } from "./clock.ts";
import { bearer, settingsOf } from "./options.ts";

const url = "ws://broker.test";
const secret = (): string => "secret";

afterEach(() => vi.unstubAllGlobals());

test("defaults, in milliseconds", () => {
  expect(settingsOf({ url, apiKey: "k" })).toEqual({
    url: "ws://broker.test/ws",
    protocols: ["kata.v1.ndjson", "kata.v1"],
    credentials: { kind: "key", text: "k" },
    backoff: { minMs: 250, maxMs: 10_000 },
    pingIntervalMs: 15_000,
    timeoutMs: 10_000,
    connectTimeoutMs: 10_000,
  });
});

test("[CONNECT-2] credentials are a subprotocol", () => {
  expect(settingsOf({ url, token: "a.b.c" }).credentials).toEqual({ kind: "token", text: "a.b.c" });
  expect(bearer("a.b.c")).toBe("bearer.a.b.c");
});

test("[CONNECT-3] without ndjson one envelope a frame is asked for", () => {
  expect(settingsOf({ url, apiKey: "k", ndjson: false }).protocols).toEqual(["kata.v1"]);
});

test("getToken is waited for 30 s unless told otherwise", () => {
  const getToken = secret;
  expect(settingsOf({ url, getToken }).credentials).toEqual({ kind: "asked", getToken, timeoutMs: 30_000 });
  expect(settingsOf({ url, getToken, tokenTimeoutMs: 50 }).credentials).toMatchObject({ timeoutMs: 50 });
});

test.each([
  ["no credentials", {}],
  ["a key and a token", { apiKey: "secret", token: "secret" }],
  ["a token and a way to get one", { token: "secret", getToken: secret }],
  ["a key and a way to get a token", { apiKey: "secret", getToken: secret }],
  ["a token where a function is wanted", { getToken: "secret" as unknown as () => string }],
  ["a time to wait for a token that is none", { getToken: secret, tokenTimeoutMs: -1 }],
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
