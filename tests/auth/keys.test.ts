import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ChannelDirectory } from "../../broker/src/auth/channel-directory.ts";
import { KeyStore } from "../../broker/src/auth/keys/key-store.ts";
import type { Revocation } from "../../broker/src/auth/revocation.ts";
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

/** As many brokers' views of one bucket as are asked for. */
async function views<T extends { close(): void; reconnected(): Promise<void> }>(
  open: (bucket: Bucket) => Promise<T>,
  count = 2,
) {
  const name = `test${buckets++}`;
  const connections = await Promise.all(
    Array.from({ length: count }, () => connectLog({ servers: nats.url, timeoutMs: 1_000, limits: {} })),
  );
  const all = await Promise.all(connections.map(async ({ nc }) => open(await openNatsBucket(nc, name))));
  return {
    all: all as unknown as [T, ...T[]],
    nc: connections.map((each) => each.nc),
    async [Symbol.asyncDispose]() {
      for (const each of all) each.close();
      for (const each of connections) await each.close();
    },
  };
}

/** Nothing is found by looking but what a test lets look. */
const QUIET = { auditIntervalMs: 1_000_000, staleMs: 1_000_000 };
const openKeys = (bucket: Bucket) => KeyStore.open({ ...QUIET, bucket });
const openChannels = (bucket: Bucket) => ChannelDirectory.open({ ...QUIET, bucket });

describe("API keys", () => {
  it("made by one broker are known by all, at once by the one that made it", async () => {
    await using keys = await views(openKeys);
    const [a, b] = keys.all as [KeyStore, KeyStore];
    const { key, keyId } = await a.create({ teamId: "t1", scopes: ["publish", "subscribe"], channels: ["spec:*"] });
    const principal = { type: "api_key", teamId: "t1", keyId, scopes: ["subscribe", "publish"], channels: ["spec:*"] };
    expect(await a.verifyKey(key)).toMatchObject(principal);
    await expect.poll(() => b.verifyKey(key)).toMatchObject(principal);
    expect(key).toMatch(/^kat_live_[A-Za-z0-9]{16}_[A-Za-z0-9]{43}$/);
  });

  it("a broker that starts later knows them, too", async () => {
    await using keys = await views(openKeys, 1);
    const { key } = await keys.all[0].create({ teamId: "t1", scopes: ["publish"] });
    await keys.all[0].create({ teamId: "t2", scopes: ["publish"] });
    const late = await openKeys(await openNatsBucket(keys.nc[0] as never, `test${buckets - 1}`));
    expect(await late.verifyKey(key)).toMatchObject({ teamId: "t1" });
    late.close();
  });

  it("neither the key nor its secret is stored or shown again", async () => {
    const values: string[] = [];
    await using keys = await views(async (bucket) => {
      const create = bucket.create.bind(bucket);
      bucket.create = (key, value) => {
        values.push(Buffer.from(value).toString("utf8"));
        return create(key, value);
      };
      return openKeys(bucket);
    }, 1);
    const [store] = keys.all;
    const { key } = await store.create({ teamId: "t1", scopes: ["admin"], name: "ci" });
    expect(values).toHaveLength(1);
    expect(values[0]).not.toContain(key.split("_").at(-1));
    expect(JSON.stringify(store.list("t1"))).not.toContain(key.split("_").at(-1));
    expect(store.list("t1")).toMatchObject([{ name: "ci", scopes: ["admin"] }]);
    expect(store.list("t2")).toEqual([]);
  });

  it.each([
    ["another secret", (key: string) => key.replace(/.$/, (last) => (last === "a" ? "b" : "a"))],
    ["no secret", (key: string) => key.replace(/_[^_]+$/, "_")],
    ["a shorter secret", (key: string) => key.slice(0, -1)],
    ["another id", (key: string) => key.replace(/kat_live_./, (head) => `kat_live_${head.endsWith("a") ? "b" : "a"}`)],
    ["something behind it", (key: string) => `${key} `],
    ["another prefix", (key: string) => key.replace("live", "test")],
  ])("with %s is none", async (_what, spoil) => {
    await using keys = await views(openKeys, 1);
    const { key } = await keys.all[0].create({ teamId: "t1", scopes: ["publish"] });
    expect(await keys.all[0].verifyKey(spoil(key))).toBeUndefined();
  });

  it("revoked are none on every broker, and every broker says whose connections must go", async () => {
    await using keys = await views(openKeys);
    const [a, b] = keys.all as [KeyStore, KeyStore];
    const { key, keyId } = await a.create({ teamId: "t1", scopes: ["publish"] });
    await expect.poll(() => b.verifyKey(key)).toBeDefined();
    const heard: Revocation[][] = [[], []];
    a.onRevoked((each) => heard[0]?.push(each));
    b.onRevoked((each) => heard[1]?.push(each));
    expect(await b.revoke("t2", keyId)).toBe(false);
    expect(await b.revoke("t1", "nobody")).toBe(false);
    expect(await b.revoke("t1", "no.id*")).toBe(false);
    expect(await a.verifyKey(key)).toBeDefined();
    expect(await b.revoke("t1", keyId)).toBe(true);
    expect(await b.verifyKey(key)).toBeUndefined();
    await expect.poll(() => a.verifyKey(key)).toBeUndefined();
    expect(heard).toEqual([[{ type: "api_key", keyId }], [{ type: "api_key", keyId }]]);
    expect(await b.revoke("t1", keyId)).toBe(false);
  });

  it("rotated have a new secret; the one before ends at once, or when its grace is over", async () => {
    await using keys = await views(async (bucket) => KeyStore.open({ ...QUIET, bucket, now: () => now }), 1);
    let now = 1_000_000;
    const [store] = keys.all;
    const first = await store.create({ teamId: "t1", scopes: ["publish"] });
    const heard: Revocation[] = [];
    store.onRevoked((each) => heard.push(each));
    const of = async (key: string) => (await store.verifyKey(key)) as { secretId?: string; expiresAt?: number };
    const secretId = (await of(first.key)).secretId;
    const second = await store.rotate("t1", first.keyId, 60_000);
    expect(second).toMatchObject({ keyId: first.keyId, teamId: "t1" });
    expect(heard).toEqual([{ type: "api_key", keyId: first.keyId, secretId, at: now + 60_000 }]);
    expect(await of(first.key)).toMatchObject({ expiresAt: now + 60_000 });
    expect(await of(second?.key ?? "")).not.toHaveProperty("expiresAt");
    now += 60_000;
    expect(await store.verifyKey(first.key)).toBeUndefined();
    const third = await store.rotate("t1", first.keyId);
    expect(await store.verifyKey(second?.key ?? "")).toBeUndefined();
    expect(await of(third?.key ?? "")).toBeDefined();
    expect(await store.rotate("t2", first.keyId)).toBeUndefined();
  });

  it("end when they expire", async () => {
    let now = 1_000_000;
    await using keys = await views(async (bucket) => KeyStore.open({ ...QUIET, bucket, now: () => now }), 1);
    const { key } = await keys.all[0].create({ teamId: "t1", scopes: ["publish"], expiresAt: now + 1 });
    expect(await keys.all[0].verifyKey(key)).toMatchObject({ expiresAt: now + 1 });
    now += 1;
    expect(await keys.all[0].verifyKey(key)).toBeUndefined();
  });

  it.each([
    { teamId: "a.b", scopes: ["publish"] },
    { teamId: "t1", scopes: [] },
    { teamId: "t1", scopes: ["root"] },
    { teamId: "t1", scopes: ["publish"], channels: ["spec:s1", "user:u"] },
    { teamId: "t1", scopes: ["publish"], channels: [] },
    { teamId: "t1", scopes: ["publish"], expiresAt: 1 },
    { teamId: "t1", scopes: ["publish"], expiresAt: Number.NaN },
    { teamId: "t1", scopes: ["publish"], name: "" },
  ])("that nobody can have are not made: %j", async (wish) => {
    await using keys = await views(openKeys, 1);
    await expect(keys.all[0].create(wish as never)).rejects.toThrow(TypeError);
    expect(keys.all[0].list("t1")).toEqual([]);
  });

  it("what cannot be read as a key lets nobody in, and hides none beside it", async () => {
    await using keys = await views(openKeys, 1);
    const [store] = keys.all;
    const bucket = await openNatsBucket(keys.nc[0] as never, `test${buckets - 1}`);
    await bucket.create("broken", Buffer.from("{"));
    await bucket.create("empty", Buffer.from('{"teamId":"t1","scopes":[],"secrets":[]}'));
    const { key } = await store.create({ teamId: "t1", scopes: ["publish"] });
    expect(await store.verifyKey("kat_live_broken_0123456789abcdef")).toBeUndefined();
    expect(await store.verifyKey(key)).toBeDefined();
    expect(store.list("t1")).toHaveLength(1);
  });
});

describe("keys while the store is away", () => {
  it("count for a while, then nobody is let in; and what was revoked meanwhile is told when it is back", async () => {
    await using own = await startNats();
    await using a = await connectLog({ servers: own.url, timeoutMs: 1_000, limits: {} }).then(closing);
    const options = { auditIntervalMs: 50, staleMs: 400 };
    const store = await KeyStore.open({ ...options, bucket: await openNatsBucket(a.nc, "K") });
    const { key, keyId } = await store.create({ teamId: "t1", scopes: ["publish"] });
    const heard: Revocation[] = [];
    store.onRevoked((each) => heard.push(each));
    const unlisten = a.log.listen((event) => event === "reconnected" && void store.reconnected());
    await own.kill();
    expect(await store.verifyKey(key)).toBeDefined();
    await expect.poll(() => store.verifyKey(key).catch((error) => error)).toBeInstanceOf(StoreUnavailableError);
    await expect(async () => store.list("t1")).rejects.toThrow(StoreUnavailableError);
    await own.start();
    await expect.poll(() => store.verifyKey(key).catch(() => undefined), { timeout: 10_000 }).toBeDefined();
    await using b = await connectLog({ servers: own.url, timeoutMs: 1_000, limits: {} }).then(closing);
    const other = await KeyStore.open({ ...options, bucket: await openNatsBucket(b.nc, "K") });
    expect(await other.revoke("t1", keyId)).toBe(true);
    await expect.poll(() => store.verifyKey(key)).toBeUndefined();
    expect(heard).toEqual([{ type: "api_key", keyId }]);
    unlisten();
    store.close();
    other.close();
  });

  it("a change whose word got lost is found by looking", async () => {
    let opened = 0;
    await using keys = await views(async (bucket) => {
      if (++opened === 2) {
        // Its changes come to nobody, until it is watched anew.
        const watch = bucket.watch.bind(bucket);
        let deaf = true;
        bucket.watch = (onChange) => {
          const first = deaf;
          deaf = false;
          return watch((change, pending) => {
            if (!first || change.revision <= 1) onChange(change, pending);
          });
        };
      }
      return KeyStore.open({ bucket, auditIntervalMs: 50, staleMs: 1_000_000 });
    });
    const [a, b] = keys.all as [KeyStore, KeyStore];
    await a.create({ teamId: "t1", scopes: ["publish"] });
    const { key } = await a.create({ teamId: "t1", scopes: ["publish"] });
    await expect.poll(() => b.verifyKey(key)).toBeDefined();
  });
});

describe("keys whose bucket somebody has", () => {
  const EMPTY = (nc: NatsConnection, name: string) => nc.request(`$JS.API.STREAM.PURGE.KV_${name}`);

  it.each([
    ["emptied", EMPTY],
    [
      "emptied and written to as often",
      async (nc: NatsConnection, name: string) => {
        await EMPTY(nc, name);
        const bucket = await openNatsBucket(nc, name);
        for (const key of ["x", "y"]) await bucket.create(key, Buffer.from("no key"));
      },
    ],
    [
      "deleted and made anew with as many writes",
      async (nc: NatsConnection, name: string) => {
        await nc.request(`$JS.API.STREAM.DELETE.KV_${name}`);
        const bucket = await openNatsBucket(nc, name);
        for (const key of ["x", "y"]) await bucket.create(key, Buffer.from("no key"));
      },
    ],
  ])("%s let nobody in after the next look, which says whose connections must go", async (_what, change) => {
    let looking: Bucket | undefined;
    await using keys = await views(async (bucket) => {
      looking ??= bucket;
      return KeyStore.open({ bucket, auditIntervalMs: 100, staleMs: 100_000 });
    }, 1);
    const [store] = keys.all;
    const made = [
      await store.create({ teamId: "t1", scopes: ["admin"] }),
      await store.create({ teamId: "t1", scopes: ["publish"] }),
    ];
    const revoked: string[] = [];
    store.onRevoked((each) => each.type === "api_key" && revoked.push(each.keyId));
    await change(keys.nc[0] as NatsConnection, looking?.name ?? "");
    for (const { key } of made) await expect.poll(() => store.verifyKey(key)).toBeUndefined();
    expect(revoked.sort()).toEqual(made.map(({ keyId }) => keyId).sort());
    // And it goes on from there.
    const { key } = await store.create({ teamId: "t1", scopes: ["publish"] });
    expect(await store.verifyKey(key)).toMatchObject({ teamId: "t1" });
  });
});

describe("the directory of channels", () => {
  it("says on every broker whose a channel is, and tells when that changes", async () => {
    await using channels = await views(openChannels);
    const [a, b] = channels.all as [ChannelDirectory, ChannelDirectory];
    const heard: string[] = [];
    b.onOwnerChanged((channel) => heard.push(channel));
    expect(await a.resolveSpecTeamId("s1")).toBeUndefined();
    expect(await a.register("t1", "spec:s1")).toBe("registered");
    expect(await a.resolveSpecTeamId("s1")).toBe("t1");
    expect(await a.resolveAgentTeamId("s1")).toBeUndefined();
    expect(await a.register("t1", "spec:s1")).toBe("already");
    expect(await b.register("t2", "spec:s1")).toBe("taken");
    expect(await a.register("t1", "agent:x")).toBe("registered");
    for (const invalid of ["team:t1", "spec:", "spec:a.b", "user:u", ""]) {
      expect(await a.register("t1", invalid)).toBe("invalid");
    }
    await expect.poll(() => b.list("t1")).toEqual(["agent:x", "spec:s1"]);
    expect(b.list("t2")).toEqual([]);
    expect(await b.unregister("t2", "spec:s1")).toBe(false);
    expect(await a.unregister("t1", "spec:s1")).toBe(true);
    await expect.poll(() => b.resolveSpecTeamId("s1")).toBeUndefined();
    expect(heard).toEqual(["spec:s1", "agent:x", "spec:s1"]);
    expect(await b.register("t2", "spec:s1")).toBe("registered");
    await expect.poll(() => a.resolveSpecTeamId("s1")).toBe("t2");
  });
});

function closing<T extends { close(): Promise<void> }>(value: T): T & AsyncDisposable {
  return Object.assign(value, { [Symbol.asyncDispose]: () => value.close() });
}
