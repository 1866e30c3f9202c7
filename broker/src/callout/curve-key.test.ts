import { createCurve, createServer } from "@nats-io/jwt";
import { expect, test } from "vitest";
import { createCurveKey } from "./curve-key.ts";

const text = new TextDecoder();
const bytes = (message: string) => new TextEncoder().encode(message);

test("opens what the library's key has sealed, and seals what it opens: of as many servers as come", () => {
  const pair = createCurve();
  const key = createCurveKey(text.decode(pair.getSeed()));
  for (const server of Array.from({ length: 100 }, createCurve)) {
    for (const message of ["first", "x".repeat(5_000)]) {
      const opened = key.open(server.seal(bytes(message), pair.getPublicKey()), server.getPublicKey());
      expect(opened && text.decode(opened)).toBe(message);
      const sealed = key.seal(bytes(message), server.getPublicKey());
      expect(text.decode(server.open(sealed, pair.getPublicKey()) ?? bytes(""))).toBe(message);
    }
  }
});

test("what is for another key, was changed or is not sealed is not opened", () => {
  const [pair, other, server] = [createCurve(), createCurve(), createCurve()];
  const key = createCurveKey(text.decode(pair.getSeed()));
  const sealed = server.seal(bytes("message"), pair.getPublicKey());
  expect(key.open(server.seal(bytes("message"), other.getPublicKey()), server.getPublicKey())).toBeUndefined();
  expect(key.open(sealed, other.getPublicKey())).toBeUndefined();
  for (let i = 0; i < sealed.length; i++) {
    const changed = Uint8Array.from(sealed);
    changed[i] = (changed[i] ?? 0) ^ 1;
    expect(key.open(changed, server.getPublicKey())).toBeUndefined();
    expect(key.open(sealed.subarray(0, i), server.getPublicKey())).toBeUndefined();
  }
  expect(() => key.open(sealed, "nonsense")).toThrow("it names no curve key");
  expect(() => key.seal(sealed, createServer().getPublicKey())).toThrow("it names no curve key");
});

test("a seed of another kind of key is refused", () => {
  expect(() => createCurveKey("SX")).toThrow();
  expect(() => createCurveKey(text.decode(createServer().getSeed()))).toThrow("it is no curve key");
});
