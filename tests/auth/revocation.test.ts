import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { CreatedKey, NewKey } from "../../broker/src/auth/keys/key-store.ts";
import { inboxPrefixOf } from "../../broker/src/callout/permissions.ts";
import { knock } from "../nats/rig.ts";
import { CALLOUT } from "../support/nats-secrets.ts";
import { createApiClient } from "./api-client.ts";
import { type Kept, type MatrixBroker, openBroker, PATIENCE, startKept } from "./matrix-rig.ts";
import {
  endings,
  type Held,
  type HeldSocket,
  holdNats,
  holdSocket,
  holdStream,
  opens,
  together,
  warned,
} from "./revocation-rig.ts";

// Two brokers that share a NATS. What one of them is told ends what the other has let in, at NATS as well.

const CHANNEL = "team:t1";
/** How long a credential lives on whose end a test waits for. */
const GRACE_MS = 3_000;

let kept: Kept;
let a: MatrixBroker;
let b: MatrixBroker;
/** Administers t1. */
let admin: string;

beforeAll(async () => {
  kept = await startKept();
  // Looked at every few milliseconds, so that what has expired ends when it does.
  const config = { ...CALLOUT, heartbeatIntervalMs: 40, heartbeatTimeoutMs: 60_000 };
  a = await openBroker(kept, config);
  b = await openBroker(kept, config);
  admin = (await make({ scopes: ["admin"] })).key;
});
afterAll(async () => {
  await a?.close();
  await b?.close();
  await kept?.[Symbol.asyncDispose]();
});

/** A key of t1 that both brokers know. */
async function make(more: Partial<NewKey> = {}): Promise<CreatedKey> {
  const created = await kept.keys.create({ teamId: "t1", scopes: ["subscribe", "publish"], ...more });
  for (const broker of [a, b]) {
    await vi.waitFor(async () => expect(await opens(broker, created.key, CHANNEL)).toMatch(/open$/), PATIENCE);
  }
  return created;
}

/** Everything that one key can have open: at both brokers, and at NATS. */
async function holdAll(key: string): Promise<Held[]> {
  return await Promise.all([
    holdSocket("ws a", a, key, CHANNEL),
    holdSocket("ws b", b, key, CHANNEL),
    holdStream("stream a", a, key, CHANNEL),
    holdStream("stream b", b, key, CHANNEL),
    holdNats("nats", kept.nats.publicUrl, key),
  ]);
}

const revoked = { "ws a": "4503", "ws b": "4503", "stream a": "ended", "stream b": "ended", nats: "ended" };
const expired = { ...revoked, "ws a": "4401", "ws b": "4401" };

async function expectRefused(key: string): Promise<void> {
  for (const broker of [a, b]) expect(await opens(broker, key, CHANNEL)).toBe("401 401");
  const inboxPrefix = inboxPrefixOf(key);
  const servers = kept.nats.publicUrl;
  expect(await knock(connect({ servers, token: key, inboxPrefix, reconnect: false }))).toBe("refused");
}

/** Says how long it took, in the output of the test: what is promised is a second, and nothing is asserted of it. */
function report(what: string, since: number, all: readonly Held[]): void {
  const took = all.map(({ name, endedAt }) => `${name} ${endedAt() - since} ms`).join(", ");
  console.info(`${what}: ${took}`);
}

describe("[KEYS-4] [AUTH-3] [NATS-3] a key that is revoked", () => {
  const ways: Record<string, (keyId: string) => Promise<unknown>> = {
    "through one broker": (keyId) => createApiClient(a.httpUrl, admin).delete(`/v1/keys/${keyId}`),
    "through the other": (keyId) => createApiClient(b.httpUrl, admin).delete(`/v1/keys/${keyId}`),
    "in NATS, by whoever runs the brokers": (keyId) => kept.keys.revoke("t1", keyId),
  };

  it.each(Object.keys(ways))("%s loses its WebSockets, event streams and NATS connection at both", async (way) => {
    const gone = await make();
    const stays = await make();
    const mine = await holdAll(gone.key);
    const others = await holdAll(stays.key);
    await using _ = together([...mine, ...others]);
    const since = Date.now();
    await ways[way]?.(gone.keyId);
    await vi.waitFor(() => expect(endings(mine)).toEqual(revoked), PATIENCE);
    report(`revoked ${way}`, since, mine);
    await expectRefused(gone.key);
    // Of the other key everything is as it was.
    await createApiClient(b.httpUrl, stays.key).post(`/v1/channels/${CHANNEL}/events`, {
      type: "log_entry",
      payload: { message: way },
    });
    for (const { client } of others.filter((each) => "client" in each) as HeldSocket[]) {
      expect(await client.nextOf("log_entry")).toMatchObject({ payload: { message: way } });
    }
    expect(new Set(Object.values(endings(others)))).toEqual(new Set([undefined]));
  });
});

describe("[KEYS-3] a key that is rotated", () => {
  it("without grace ends at both brokers and at NATS; its new secret opens everything", async () => {
    const old = await make();
    const mine = await holdAll(old.key);
    await using _ = together(mine);
    const since = Date.now();
    const { body } = await createApiClient(a.httpUrl, admin).post(`/v1/keys/${old.keyId}/rotate`, {});
    await vi.waitFor(() => expect(endings(mine)).toEqual(revoked), PATIENCE);
    report("rotated", since, mine);
    await expectRefused(old.key);
    const { key } = body as { key: string };
    await vi.waitFor(async () => expect(await opens(b, key, CHANNEL)).toBe("200 open"), PATIENCE);
    const again = await holdAll(key);
    await using __ = together(again);
    expect(new Set(Object.values(endings(again)))).toEqual(new Set([undefined]));
  });

  it("with grace: who came with the old secret stays until it is over, at both, and no longer by any refresh", async () => {
    const old = await make();
    const socket = (name: string, broker: MatrixBroker) => holdSocket(name, broker, old.key, CHANNEL);
    const [stubborn, moved, quiet] = [await socket("stubborn", a), await socket("moved", a), await socket("quiet", b)];
    const streams = [
      await holdStream("stream a", a, old.key, CHANNEL),
      await holdStream("stream b", b, old.key, CHANNEL),
    ];
    await using _ = together([stubborn, moved, quiet, ...streams]);
    const before = Date.now();
    const { body } = await createApiClient(b.httpUrl, admin).post(`/v1/keys/${old.keyId}/rotate`, {
      graceSeconds: GRACE_MS / 1_000,
    });
    const { key } = body as { key: string };
    for (const each of [stubborn, moved, quiet]) expect(await warned(each)).toBeGreaterThanOrEqual(before + GRACE_MS);
    // The old secret presented once more moves nothing; the new one is the same principal's, and stays.
    stubborn.client.send({ type: "auth", token: old.key });
    const { payload } = await stubborn.client.nextOf("authenticated");
    expect(Date.parse(payload.expiresAt ?? "")).toBeLessThanOrEqual(Date.now() + GRACE_MS);
    moved.client.send({ type: "auth", token: key });
    expect((await moved.client.nextOf("authenticated")).payload).not.toHaveProperty("expiresAt");
    // During the grace both secrets open everything, NATS as well, where what the old one opens ends with it.
    const late = await Promise.all([...(await holdAll(old.key))]);
    await using __ = together(late);
    for (const broker of [a, b]) expect(await opens(broker, key, CHANNEL)).toBe("200 open");
    await vi.waitFor(() => expect(endings(late)).toEqual(expired), PATIENCE);
    await vi.waitFor(
      () =>
        expect(endings([stubborn, quiet, ...streams])).toEqual({
          stubborn: "4401",
          quiet: "4401",
          "stream a": "ended",
          "stream b": "ended",
        }),
      PATIENCE,
    );
    for (const each of [stubborn, quiet, ...streams]) expect(each.endedAt()).toBeGreaterThanOrEqual(before + GRACE_MS);
    report("rotated with grace", before, [stubborn, quiet, ...streams, ...late]);
    await expectRefused(old.key);
    moved.client.send({ type: "ping" });
    await moved.client.nextOf("pong");
  });
});

describe("[AUTH-3] [NATS-3] a key that expires while it is connected", () => {
  it("loses its connections at both brokers and at NATS when it does, and offered as a refresh extends none", async () => {
    // NATS knows the end of a user in whole seconds.
    const expiresAt = Math.ceil(Date.now() / 1_000) * 1_000 + GRACE_MS;
    const { key } = await make({ expiresAt });
    const mine = await holdAll(key);
    await using _ = together(mine);
    const sockets = mine.filter((each) => "client" in each) as HeldSocket[];
    for (const socket of sockets) {
      expect(await warned(socket)).toBe(expiresAt);
      const { client } = socket;
      client.send({ type: "auth", token: key });
      expect((await client.nextOf("authenticated")).payload.expiresAt).toBe(new Date(expiresAt).toISOString());
    }
    await vi.waitFor(() => expect(endings(mine)).toEqual(expired), PATIENCE);
    for (const { name, endedAt } of mine) if (name !== "nats") expect(endedAt()).toBeGreaterThanOrEqual(expiresAt);
    report("expired", expiresAt, mine);
    await expectRefused(key);
  });
});

describe("[AUTH-3] a session that is revoked", () => {
  it("through one broker ends its connections at both; the user's other session stays", async () => {
    const user = { userId: "ann", teamId: "t1", expiresAt: Date.now() + 3_600_000 };
    const gone = await kept.sessions.create(user);
    const stays = await kept.sessions.create(user);
    const mine = await Promise.all([
      holdSocket("ws a", a, gone, CHANNEL),
      holdSocket("ws b", b, gone, CHANNEL),
      holdStream("stream a", a, gone, CHANNEL),
      holdStream("stream b", b, gone, CHANNEL),
    ]);
    const others = [await holdSocket("other a", a, stays, CHANNEL), await holdSocket("other b", b, stays, CHANNEL)];
    await using _ = together([...mine, ...others]);
    const since = Date.now();
    expect((await createApiClient(b.httpUrl, admin).delete(`/v1/sessions/${gone}`)).status).toBe(204);
    const { nats: _nats, ...wanted } = revoked;
    await vi.waitFor(() => expect(endings(mine)).toEqual(wanted), PATIENCE);
    report("session revoked", since, mine);
    for (const broker of [a, b]) expect(await opens(broker, gone, CHANNEL)).toBe("401 401");
    for (const { client } of others) {
      // The session that is gone does not take over one that is there, nor the other way round.
      client.send({ type: "auth", token: gone });
      expect((await client.nextOf("error")).payload).toMatchObject({ code: "unauthenticated" });
      client.send({ type: "ping" });
      await client.nextOf("pong");
    }
  });
});
