import { expect, test } from "vitest";
import { socketUrl } from "./url.ts";

test.each([
  ["ws://host:8080", "ws://host:8080/ws"],
  ["http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws"],
  ["https://kata.example.com/", "wss://kata.example.com/ws"],
  ["WSS://kata.example.com", "wss://kata.example.com/ws"],
  ["ws://[::1]:8080", "ws://[::1]:8080/ws"],
  ["wss://example.com/realtime/ws", "wss://example.com/realtime/ws"],
  ["https://example.com?region=eu", "wss://example.com/ws?region=eu"],
])("%s is opened at %s", (url, opened) => {
  expect(socketUrl(url)).toBe(opened);
});

test.each(["", "host:8080", "ftp://host", "ws://", "ws://user:secret@host", "ws://host/ws#x", "ws://ho st"])(
  "%j is a caller's mistake, and the error does not repeat it",
  (url) => {
    expect(() => socketUrl(url)).toThrow(TypeError);
    if (url.includes("secret")) expect(() => socketUrl(url)).not.toThrow(/secret/);
  },
);
