import { expect, test } from "vitest";
import { createMessageIds, idempotentMessageId } from "./message-id.ts";

test("a publisher's ids share 128 random bits and count up", () => {
  const next = createMessageIds(new Uint8Array(16).fill(255));
  expect([next(), next()]).toEqual(["f5lxx1zz5pnorynqglhzmsp33-0", "f5lxx1zz5pnorynqglhzmsp33-1"]);
  expect(createMessageIds()()).not.toBe(createMessageIds()());
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
