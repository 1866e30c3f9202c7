import { expect, test, vi } from "vitest";
import type { Connections, ServerConnections } from "./connections.ts";
import { startSweep } from "./sweep.ts";

const logger = { debug() {}, info() {}, warn() {}, error: vi.fn() };
const nc = { isClosed: () => false } as Parameters<typeof startSweep>[0];

/** A server with so many connections, each of a key of its own (`k0`, `k1` …). */
function serverWith(count: number) {
  const asked: number[] = [];
  const ended: number[] = [];
  let atATime = 0;
  let most = 0;
  const connections: Connections = {
    async *list({ offset = 0 }): AsyncGenerator<ServerConnections> {
      asked.push(offset);
      const length = Math.max(0, Math.min(1_024, count - offset));
      const page = Array.from({ length }, (_, i) => ({ cid: offset + i, user: `k${offset + i}`, start: 0 }));
      yield { server: "S", now: 0, connections: page };
    },
    async end(_, cid) {
      most = Math.max(most, ++atATime);
      await Promise.resolve();
      atATime--;
      ended.push(cid);
    },
  };
  return { connections, asked, ended, most: () => most };
}

test("ends those of keys that are not known, so many at a time, and asks for no more than there is", async () => {
  const server = serverWith(3_000);
  startSweep(nc, server.connections, (keyId) => Number(keyId.slice(1)) % 2 === 0, logger);
  await vi.waitFor(() => expect(server.ended).toHaveLength(1_500));
  expect(server.ended.every((cid) => cid % 2 === 1)).toBe(true);
  expect(server.asked).toEqual([0, 1_024, 2_048]);
  expect(server.most()).toBeLessThanOrEqual(64);
});

test("a key that becomes known a moment later was just made at another broker: its connection stays", async () => {
  const server = serverWith(2);
  const looked: string[] = [];
  const isKnownKey = (keyId: string) => {
    looked.push(keyId);
    return keyId === "k1" && looked.filter((each) => each === keyId).length > 1;
  };
  startSweep(nc, server.connections, isKnownKey, logger);
  await vi.waitFor(() => expect(server.ended).toEqual([0]));
  expect(looked).toEqual(["k0", "k1", "k0", "k1"]);
});

test("looks at no more than a server lets in, and ends nothing if it cannot know", async () => {
  const endless = serverWith(1_000_000);
  startSweep(nc, endless.connections, () => true, logger);
  await vi.waitFor(() => expect(endless.asked).toHaveLength(64));
  const away = serverWith(10);
  const error = new Error("away");
  startSweep(
    nc,
    away.connections,
    () => {
      throw error;
    },
    logger,
  );
  await vi.waitFor(() => expect(logger.error).toHaveBeenCalledWith({ err: error }, expect.any(String)));
  expect(away.ended).toEqual([]);
  expect(endless.asked).toHaveLength(64);
});
