import { createAccount, createServer, fromPublic } from "@nats-io/jwt";
import { expect, test } from "vitest";
import { createSigningKey, verifyingKey } from "./account-key.ts";

const text = new TextDecoder();

test("signs as the library's key does, and is verified by it", () => {
  const pair = createAccount();
  const key = createSigningKey(text.decode(pair.getSeed()));
  const message = Buffer.from("message");
  expect(key.getPublicKey()).toBe(pair.getPublicKey());
  expect(Buffer.from(key.sign(message))).toEqual(Buffer.from(pair.sign(message)));
  expect(fromPublic(pair.getPublicKey()).verify(message, key.sign(message))).toBe(true);
  expect(key.verify(message, pair.sign(message))).toBe(true);
  expect(key.verify(Buffer.from("another"), pair.sign(message))).toBe(false);
});

test("what is no seed is refused, and what is no public key is none", () => {
  expect(() => createSigningKey("SA")).toThrow();
  expect(() => createSigningKey(`SA${"A".repeat(56)}`)).toThrow();
  expect(() => verifyingKey("")).toThrow();
  expect(verifyingKey(createServer().getPublicKey()).asymmetricKeyType).toBe("ed25519");
});
