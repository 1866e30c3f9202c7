import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resolvePrincipal } from "../../broker/src/auth/resolve-principal.ts";
import type { Revocation } from "../../broker/src/auth/revocation.ts";
import { KvSessions, type KvSessionsOptions } from "../../broker/src/auth/sessions/kv-sessions.ts";
import { createSessions } from "../../broker/src/auth/sessions/sessions.ts";
import { connectLog } from "../../broker/src/log/connect.ts";
import { type Bucket, StoreUnavailableError } from "../../broker/src/store/bucket.ts";
import { openNatsBucket } from "../../broker/src/store/nats-bucket.ts";
import { startNats, type TestNats } from "../support/nats.ts";

let nats: TestNats;
let buckets = 0;

beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats[Symbol.asyncDispose]());

/** Nothing is found by looking but what a test lets look. */
const QUIET = { auditIntervalMs: 1_000_000, staleMs: 1_000_000 };
const HOUR = 3_600_000;

interface Views extends AsyncDisposable {
  readonly all: [KvSessions, KvSessions, ...KvSessions[]];
  /** The bucket itself, for what brokers do not do. */
  readonly bucket: Bucket;
}

/** The sessions as two brokers see them. */
async function views(
  options: Partial<KvSessionsOptions> = {},
  wrap: (bucket: Bucket, broker: number) => Bucket = (bucket) => bucket,
): Promise<Views> {
  const name = `sessions${buckets++}`;
  const connect = () => connectLog({ servers: nats.url, timeoutMs: 1_000, limits: {} });
  const connections = await Promise.all([connect(), connect(), connect()]);
  const [a, b, bucket] = await Promise.all(connections.map(({ nc }) => openNatsBucket(nc, name)));
  const open = (each: Bucket, broker: number) => KvSessions.open({ ...QUIET, ...options, bucket: wrap(each, broker) });
  const all: Views["all"] = [await open(a as Bucket, 0), await open(b as Bucket, 1)];
  return {
    all,
    bucket: bucket as Bucket,
    async [Symbol.asyncDispose]() {
      for (const each of all) each.close();
      for (const each of connections) await each.close();
    },
  };
}

const ann = () => ({ userId: "ann", teamId: "t1", expiresAt: Date.now() + HOUR });
const hashOf = (sessionId: string) => createHash("sha256").update(sessionId).digest("hex");
const heardBy = (sessions: KvSessions) => {
  const heard: Revocation[] = [];
  sessions.onRevoked((each) => heard.push(each));
  return heard;
};

describe("sessions in NATS KV", () => {
  it("made by one broker are known by all; what is stored is the hash of the id, not the id", async () => {
    await using sessions = await views();
    const [a, b] = sessions.all;
    const session = ann();
    const id = await a.create(session);
    expect(id).toMatch(/^kss_[A-Za-z0-9_-]{43}$/);
    expect(await a.create(session)).not.toBe(id);
    const principal = { type: "session_user", ...session, sessionId: hashOf(id) };
    for (const each of [a, b]) expect(await each.verifySession(id)).toEqual(principal);
    const entry = await sessions.bucket.get(hashOf(id));
    expect(JSON.parse(Buffer.from(entry?.value ?? []).toString())).toEqual(session);
  });

  it("an id that another broker made a moment ago is known, though word of it is late", async () => {
    const held: (() => void)[] = [];
    let holding = false;
    await using sessions = await views({}, (bucket, broker) => {
      if (broker === 0) return bucket;
      const watch: Bucket["watch"] = (onChange) =>
        bucket.watch((change, pending) => {
          if (holding) held.push(() => onChange(change, pending));
          else onChange(change, pending);
        });
      return { ...bucket, watch };
    });
    const [a, b] = sessions.all;
    holding = true;
    const id = await a.create(ann());
    const asked = b.verifySession(id);
    await expect.poll(() => held.length).toBe(1);
    for (const hand of held) hand();
    expect(await asked).toMatchObject({ userId: "ann" });
  });

  it("however many ids are guessed, the bucket is asked a few times, and those that are known not at all", async () => {
    let questions = 0;
    await using sessions = await views({}, (bucket) => ({
      ...bucket,
      get: (key) => {
        questions++;
        return bucket.get(key);
      },
      state: () => {
        questions++;
        return bucket.state();
      },
    }));
    const [a] = sessions.all;
    const id = await a.create(ann());
    questions = 0;
    for (let n = 0; n < 1_000; n++) await a.verifySession(id);
    expect(questions).toBe(0);
    const guesses = Array.from({ length: 10_000 }, (_, n) => a.verifySession(`kss_${String(n).padStart(43, "x")}`));
    expect(new Set(await Promise.all(guesses))).toEqual(new Set([undefined]));
    expect(questions).toBeLessThanOrEqual(3);
  });

  it.each([
    "",
    "kss_",
    "kss_x",
    `kss_${"x".repeat(44)}`,
    `kss_${"*".repeat(43)}`,
    `kat_${"x".repeat(43)}`,
    "é".repeat(47),
  ])("%j is none, and asks nobody", async (text) => {
    await using sessions = await views({}, (bucket) => ({
      ...bucket,
      get: () => Promise.reject(new Error("asked")),
    }));
    const [a] = sessions.all;
    const id = await a.create(ann());
    expect(await a.verifySession(text)).toBeUndefined();
    // Whoever reads the bucket cannot use what it says.
    expect(await a.verifySession(hashOf(id))).toBeUndefined();
  });

  it.each([
    ["its id", (id: string) => id],
    ["its hash", hashOf],
  ])("revoked by %s is none on any broker, and every broker is told", async (_what, name) => {
    await using sessions = await views();
    const [a, b] = sessions.all;
    const id = await a.create(ann());
    const other = await a.create(ann());
    expect(await b.verifySession(id)).toBeDefined();
    const heard = [heardBy(a), heardBy(b)];
    expect(await b.revoke(name(id))).toBe(true);
    expect(await b.verifySession(id)).toBeUndefined();
    const revocation = { type: "session", sessionId: hashOf(id) };
    await expect.poll(() => heard).toEqual([[revocation], [revocation]]);
    expect(await a.verifySession(id)).toBeUndefined();
    expect(await a.verifySession(other)).toBeDefined();
    for (const nothing of [name(id), "", "nobody", "kss_x", "a.b*", hashOf("nobody")]) {
      expect(await b.revoke(nothing)).toBe(false);
    }
  });

  it("that is replaced by another, or ends at another time, is told; one that stayed the same is not", async () => {
    await using sessions = await views();
    const [a, b] = sessions.all;
    const session = ann();
    const id = await a.create(session);
    expect(await b.verifySession(id)).toBeDefined();
    const heard = [heardBy(a), heardBy(b)];
    const put = async (value: object) => {
      const entry = await sessions.bucket.get(hashOf(id));
      await sessions.bucket.update(hashOf(id), Buffer.from(JSON.stringify(value)), entry?.revision ?? 0);
    };
    const revocation = { type: "session", sessionId: hashOf(id) };
    await put({ note: "x", ...session });
    // Reading everything anew is no change either.
    await b.reconnected();
    await put({ ...session, expiresAt: session.expiresAt - 1 });
    await expect.poll(() => heard).toEqual([[revocation], [revocation]]);
    await put({ ...session, userId: "bob" });
    await expect.poll(() => heard.map((each) => each.length)).toEqual([2, 2]);
    expect(await a.verifySession(id)).toMatchObject({ userId: "bob" });
  });

  it.each([
    "{",
    "null",
    "[]",
    '{"userId":"ann","teamId":"t1"}',
    '{"userId":"ann","teamId":"t1","expiresAt":"2100"}',
    '{"userId":"","teamId":"t1","expiresAt":4102444800000}',
    '{"userId":"ann","teamId":"t1.>","expiresAt":4102444800000}',
    '{"userId":"ann","teamId":"t1","expiresAt":1e300}',
  ])("what cannot be read as a session lets nobody in, and is said once: %s", async (value) => {
    const unreadable: string[] = [];
    await using sessions = await views({ onUnreadable: (key) => unreadable.push(key) });
    const [a] = sessions.all;
    const id = await a.create(ann());
    expect(await a.verifySession(id)).toBeDefined();
    const heard = heardBy(a);
    const entry = await sessions.bucket.get(hashOf(id));
    const revision = await sessions.bucket.update(hashOf(id), Buffer.from(value), entry?.revision ?? 0);
    expect(revision).toBeDefined();
    // Both brokers say it.
    await expect.poll(() => unreadable).toEqual([hashOf(id), hashOf(id)]);
    expect(await a.verifySession(id)).toBeUndefined();
    expect(heard).toEqual([{ type: "session", sessionId: hashOf(id) }]);
    await a.reconnected();
    expect(unreadable).toHaveLength(2);
  });

  it("expired ones are told from unknown ones, and are deleted a day later", async () => {
    let now = Date.now();
    await using sessions = await views({ now: () => now, sweepIntervalMs: 20 });
    const [a, b] = sessions.all;
    const id = await a.create({ ...ann(), expiresAt: now + HOUR });
    const other = await a.create({ ...ann(), expiresAt: now + 2 * HOUR });
    const resolve = (sessionId: string) =>
      resolvePrincipal(
        { sessionId },
        { apiKeys: { verifyKey: async () => undefined }, sessions: createSessions({ kv: b }), now: () => now },
      );
    now += HOUR - 1;
    expect(await resolve(id)).toMatchObject({ principal: { userId: "ann" } });
    now += 1;
    expect(await resolve(id)).toMatchObject({ errorCode: "token_expired" });
    now += 24 * HOUR;
    await expect.poll(() => sessions.bucket.get(hashOf(id))).toBeUndefined();
    await expect.poll(() => resolve(id)).toMatchObject({ errorCode: "unauthenticated" });
    expect(await sessions.bucket.get(hashOf(other))).toBeDefined();
  });

  it.each([
    { userId: "" },
    { userId: "x".repeat(257) },
    { userId: 7 },
    { teamId: "t1.>" },
    { teamId: "" },
    { expiresAt: 1 },
    { expiresAt: Number.NaN },
    { expiresAt: Number.POSITIVE_INFINITY },
    { expiresAt: 9e15 },
  ])("that nobody can have are not made: %j", async (wrong) => {
    await using sessions = await views();
    await expect(sessions.all[0].create({ ...ann(), ...wrong } as never)).rejects.toThrow(TypeError);
    expect(await sessions.bucket.state()).toMatchObject({ entries: 0 });
  });
});

describe("sessions while NATS is away", () => {
  it("count for a while, then nobody is let in; what was revoked meanwhile is told when it is back", async () => {
    await using own = await startNats();
    const options = { auditIntervalMs: 50, staleMs: 400 };
    const connect = () => connectLog({ servers: own.url, timeoutMs: 1_000, limits: {} });
    const a = await connect();
    const store = await KvSessions.open({ ...options, bucket: await openNatsBucket(a.nc, "S") });
    const unlisten = a.log.listen((event) => event === "reconnected" && void store.reconnected());
    try {
      const id = await store.create(ann());
      const heard = heardBy(store);
      await own.kill();
      expect(await store.verifySession(id)).toBeDefined();
      await expect.poll(() => store.verifySession(id).catch((error) => error)).toBeInstanceOf(StoreUnavailableError);
      const unknown = `kss_${"x".repeat(43)}`;
      await expect(store.verifySession(unknown)).rejects.toThrow(StoreUnavailableError);
      await own.start();
      await expect.poll(() => store.verifySession(id).catch(() => undefined), { timeout: 10_000 }).toBeDefined();
      const b = await connect();
      const other = await KvSessions.open({ ...options, bucket: await openNatsBucket(b.nc, "S") });
      expect(await other.revoke(id)).toBe(true);
      await expect.poll(() => store.verifySession(id)).toBeUndefined();
      expect(heard).toEqual([{ type: "session", sessionId: hashOf(id) }]);
      other.close();
      await b.close();
    } finally {
      unlisten();
      store.close();
      await a.close();
    }
  });
});
