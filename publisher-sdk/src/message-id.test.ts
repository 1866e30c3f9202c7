import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { createMessageIds, idempotentMessageId } from "./message-id.ts";

test("an id is 132 random bits of its own, and follows from no other", () => {
  const asked: Uint8Array[] = [];
  const next = createMessageIds((bytes) => {
    const random = randomBytes(bytes);
    asked.push(random);
    return random;
  });
  const ids = Array.from({ length: 1_000 }, next);
  expect(Buffer.from(ids.join(""), "base64url")).toEqual(Buffer.concat(asked).subarray(0, (1_000 * 132) / 8));
  expect(new Set(ids.map((id) => id.length))).toEqual(new Set([22]));
  // By default too, and whoever makes them.
  const [one, other] = [createMessageIds(), createMessageIds()];
  const made = Array.from({ length: 1_000 }, () => [one(), other()]).flat();
  expect(new Set([...ids, ...made]).size).toBe(3_000);
});

test("an idempotency key's id depends on channel, key and secret, and on nothing else", () => {
  const id = idempotentMessageId("kata.team.t1.agent.a1", "k", undefined);
  expect(id).toBe(idempotentMessageId("kata.team.t1.agent.a1", "k", undefined));
  const others = [
    idempotentMessageId("kata.team.t2.agent.a1", "k", undefined),
    idempotentMessageId("kata.team.t1.agent.a1", "k2", undefined),
    idempotentMessageId("kata.team.t1.agent.a1", "k", "secret"),
    idempotentMessageId("kata.team.t1.agent.a1", "k", "secret2"),
  ];
  expect(new Set([id, ...others]).size).toBe(5);
});
