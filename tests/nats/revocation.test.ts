import { createPublisher } from "@kata/publisher";
import type { NatsConnection } from "@nats-io/transport-node";
import { expect, test, vi } from "vitest";
import { KEYS_BUCKET, KeyStore } from "../../broker/src/auth/keys/key-store.ts";
import { openNatsBucket } from "../../broker/src/store/nats-bucket.ts";
import { startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { CALLOUT } from "../support/nats-secrets.ts";
import { readLog } from "../support/stream.ts";
import { connectKey, createNatsRig, knock } from "./rig.ts";

// What is promised is a second; the machine of a test may be slow.
const BOUND = { timeout: 3_000, interval: 10 };

function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

async function ended(connections: readonly NatsConnection[]): Promise<void> {
  await vi.waitFor(() => expect(connections.map((nc) => nc.isClosed())).not.toContain(false), BOUND);
}

test("[NATS-3] a key that is revoked loses all its connections, and nobody else's are touched", async () => {
  await using rig = await createNatsRig();
  const { nats, keys } = rig;
  const key = keys.add("t1", { keyId: "gone" });
  const other = await connectKey(nats, keys.add("t1", { keyId: "stays" }));
  const connections = await Promise.all(Array.from({ length: 20 }, () => connectKey(nats, key)));
  keys.remove(key);
  keys.tell({ type: "api_key", keyId: "gone" });
  await ended(connections);
  expect(await knock(connectKey(nats, key))).toBe("refused");
  expect((await other.request("kata.team.t1", "still")).json()).toMatchObject({ stream: "KATA" });
  await other.close();
});

test("a revoked session, or a key that nobody uses, ends no connection", async () => {
  await using rig = await createNatsRig();
  const nc = await connectKey(rig.nats, rig.keys.add("t1", { keyId: "stays" }));
  rig.keys.tell({ type: "session", sessionId: "stays" });
  rig.keys.tell({ type: "api_key", keyId: "nobody" });
  const gone = await connectKey(rig.nats, rig.keys.add("t1", { keyId: "gone" }));
  rig.keys.tell({ type: "api_key", keyId: "gone" });
  await ended([gone]);
  expect(nc.isClosed()).toBe(false);
  await nc.close();
});

test("of a key with two secrets one is revoked: who has the other comes back and loses nothing", async () => {
  await using rig = await createNatsRig();
  const { nats, keys } = rig;
  const old = keys.add("t1", { keyId: "k", secretId: "s1" });
  const apiKey = keys.add("t1", { keyId: "k", secretId: "s2" });
  const revoked = await connectKey(nats, old);
  await using publisher = await createPublisher({ servers: nats.publicUrl, apiKey });
  const publish = (i: number) => publisher.publish("agent:a1", { type: "log_entry", payload: { message: `${i}` } });
  await publish(0);
  keys.remove(old);
  keys.tell({ type: "api_key", keyId: "k", secretId: "s1" });
  const published = Array.from({ length: 100 }, (_, i) => publish(i + 1));
  await ended([revoked]);
  await Promise.all(published);
  await publish(101);
  const messages = (await readLog(rig.inside)).flatMap(({ lines }) =>
    lines.map((line) => JSON.parse(line).payload.message),
  );
  expect(messages).toEqual(Array.from({ length: 102 }, (_, i) => `${i}`));
});

test("a key that is revoked while it is looked at is not let in", async () => {
  await using rig = await createNatsRig();
  const looking = gate();
  const found = gate();
  const key = rig.keys.behave(async () => {
    looking.open();
    await found.opened;
    return { type: "api_key", teamId: "t1", keyId: "late", scopes: ["publish"] };
  });
  const outcome = knock(connectKey(rig.nats, key));
  await looking.opened;
  rig.keys.tell({ type: "api_key", keyId: "late" });
  found.open();
  expect(await outcome).toBe("refused");
  expect(rig.warnings.map(({ line }) => line)).toEqual([
    "refused a publisher at NATS: its API key has just been revoked",
  ]);
});

test("a key made at one broker and revoked at another is gone from NATS, by hand of both", async () => {
  await using nats = await startNats();
  await using one = await startBroker({ nats, config: CALLOUT, keptInNats: true });
  await using two = await startBroker({ nats, config: CALLOUT, keptInNats: true });
  const headers = { "x-api-key": one.apiKey, "content-type": "application/json" };
  const made = await fetch(`${one.httpUrl}/v1/keys`, {
    method: "POST",
    headers,
    body: JSON.stringify({ scopes: ["publish"] }),
  });
  const { key, keyId } = (await made.json()) as { key: string; keyId: string };
  await vi.waitFor(async () => expect(await knock(connectKey(nats, key))).toBe("let in"), { timeout: 10_000 });
  const connections = await Promise.all([connectKey(nats, key), connectKey(nats, key)]);
  const deleted = await fetch(`${two.httpUrl}/v1/keys/${keyId}`, { method: "DELETE", headers });
  expect(deleted.ok).toBe(true);
  await ended(connections);
  expect(await knock(connectKey(nats, key))).toBe("refused");
});

test("a key that was revoked while no broker was there loses its connections when one is back, and no other does", async () => {
  await using nats = await startNats();
  const config = { ...CALLOUT, auditIntervalMs: 5_000, authStaleMs: 60_000 };
  const before = await startBroker({ nats, config, keptInNats: true });
  const nc = await connectNats(nats.url);
  const bucket = await openNatsBucket(nc, KEYS_BUCKET);
  const store = await KeyStore.open({ bucket, auditIntervalMs: 5_000, staleMs: 60_000 });
  const [gone, stays] = await Promise.all(
    ["gone", "stays"].map((name) => store.create({ teamId: "t1", scopes: ["publish"], name })),
  );
  if (gone === undefined || stays === undefined) throw new Error("no keys");
  const connected = async (key: string) => {
    await vi.waitFor(async () => expect(await knock(connectKey(nats, key))).toBe("let in"), { timeout: 10_000 });
    return await connectKey(nats, key);
  };
  const revoked = [await connected(gone.key), await connected(gone.key)];
  const others = [await connected(stays.key), await connected(before.apiKey)];
  await before.close();
  await store.revoke("t1", gone.keyId);
  await using _back = await startBroker({ nats, config, keptInNats: true });
  await vi.waitFor(() => expect(revoked.map((each) => each.isClosed())).toEqual([true, true]), { timeout: 10_000 });
  // All was done in one go: who is there now stays.
  expect((await others[0]?.request("kata.team.t1", "still"))?.json()).toMatchObject({ stream: "KATA" });
  expect((await others[1]?.request("kata.publisher.demo.about"))?.json()).toMatchObject({ teamId: "demo" });
  for (const each of others) await each.close();
  store.close();
  await nc.close();
});
