import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type InProcessBroker, startBroker, TEST_KEY } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectRaw } from "../support/raw-client.ts";
import { createApiClient } from "./api-client.ts";

let nats: TestNats;
let a: InProcessBroker;
let b: InProcessBroker;

beforeAll(async () => {
  nats = await startNats();
  a = await startBroker({ nats, keptInNats: true });
  b = await startBroker({ nats, keptInNats: true });
});
afterAll(async () => {
  await a?.close();
  await b?.close();
  await nats?.[Symbol.asyncDispose]();
});

const admin = (broker = a) => createApiClient(broker.httpUrl, TEST_KEY);

async function newKey(wish: Record<string, unknown>): Promise<{ keyId: string; key: string }> {
  const { status, body } = await admin().post("/v1/keys", wish);
  expect(status).toBe(201);
  return body as { keyId: string; key: string };
}

describe("keys over HTTP", () => {
  it("[KEYS-1] [KEYS-2] are made for the own team, shown once, and open what their scopes say on every broker", async () => {
    const { status, body } = await admin().post("/v1/keys", { scopes: ["publish"], name: "ci" });
    expect(status).toBe(201);
    expect(body).toMatchObject({ teamId: "demo", scopes: ["publish"], name: "ci", expiresAt: null });
    const { key, keyId } = body as { key: string; keyId: string };
    const listed = await admin().get("/v1/keys");
    expect(listed.body).toMatchObject({ keys: [expect.objectContaining({ keyId, name: "ci" })] });
    expect(listed.text).not.toContain(key.split("_").at(-1));
    const event = { type: "log_entry", payload: { message: "m" } };
    for (const broker of [a, b]) {
      const own = createApiClient(broker.httpUrl, key);
      await expect.poll(async () => (await own.post("/v1/channels/team:demo/events", event)).status).toBe(201);
      expect((await own.get("/v1/channels/team:demo/events")).body).toMatchObject({ error: { code: "forbidden" } });
      expect((await own.get("/v1/keys")).status).toBe(403);
      expect((await own.post("/v1/keys", { scopes: ["admin"] })).status).toBe(403);
    }
  });

  it("[KEYS-1] a key that is limited to channels opens those, and no others", async () => {
    const { key } = await newKey({ scopes: ["publish", "subscribe"], channels: ["spec:s1", "agent:*"] });
    await using socket = await connectRaw({ wsUrl: a.wsUrl, apiKey: key });
    for (const [channel, allowed] of [
      ["spec:s1", true],
      ["agent:x", true],
      ["agent:y", true],
      ["spec:s2", false],
      ["team:demo", false],
      ["spec:s11", false],
    ] as const) {
      socket.send({ type: "subscribe", channel });
      const answer = await socket.next(({ type }) => type === "subscribed" || type === "error");
      expect([channel, answer.type]).toEqual([channel, allowed ? "subscribed" : "error"]);
    }
  });

  it.each([
    {},
    { scopes: [] },
    { scopes: ["root"] },
    { scopes: ["publish"], channels: ["spec:a b"] },
    { scopes: ["admin"], channels: ["spec:*"] },
    { scopes: ["publish"], expiresAt: "2001-01-01T00:00:00Z" },
    { scopes: ["publish"], expiresAt: 5 },
    { scopes: ["publish"], teamId: "other" },
    [],
  ])("[KEYS-1] %j asks for no key", async (wish) => {
    expect(await admin().post("/v1/keys", wish)).toMatchObject({
      status: 400,
      body: { error: { code: "bad_request", message: expect.any(String) } },
    });
  });

  it("[HTTP-2] a body that is no JSON, or none, is answered", async () => {
    expect(await admin().send("POST", "/v1/keys", "{")).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_json" } },
    });
    expect((await admin().send("POST", "/v1/keys", undefined)).status).toBe(400);
    expect((await admin().send("PATCH", "/v1/keys", undefined)).status).toBe(405);
  });

  it("[KEYS-4] [AUTH-3] revoking closes the key's connections on every broker, and nobody else's", async () => {
    const gone = await newKey({ scopes: ["subscribe"] });
    const stays = await newKey({ scopes: ["subscribe"] });
    await expect.poll(() => opens(b, gone.key)).toBe(true);
    await expect.poll(() => opens(b, stays.key)).toBe(true);
    await using onA = await connectRaw({ wsUrl: a.wsUrl, apiKey: gone.key });
    await using onB = await connectRaw({ wsUrl: b.wsUrl, apiKey: gone.key });
    await using other = await connectRaw({ wsUrl: b.wsUrl, apiKey: stays.key });
    const stream = await fetch(`${b.httpUrl}/v1/channels/team:demo/stream`, { headers: { "x-api-key": gone.key } });
    expect(stream.status).toBe(200);
    expect((await admin(b).delete(`/v1/keys/${gone.keyId}`)).status).toBe(204);
    expect(await onB.closed).toMatchObject({ code: 4503 });
    expect(await onA.closed).toMatchObject({ code: 4503 });
    await stream.text();
    expect(await opens(b, gone.key)).toBe(false);
    await expect.poll(() => opens(a, gone.key)).toBe(false);
    other.send({ type: "ping" });
    await other.nextOf("pong");
    expect((await admin(b).delete(`/v1/keys/${gone.keyId}`)).status).toBe(404);
  });

  it("[KEYS-3] a rotated key has a new secret; who came with the old one may stay until its grace is over", async () => {
    const old = await newKey({ scopes: ["subscribe"] });
    await using socket = await connectRaw({ wsUrl: a.wsUrl, apiKey: old.key });
    const { status, body } = await admin().post(`/v1/keys/${old.keyId}/rotate`, { graceSeconds: 3_600 });
    expect(status).toBe(200);
    const { key } = body as { key: string };
    expect(await opens(a, key)).toBe(true);
    expect(await opens(a, old.key)).toBe(true);
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
    expect((await admin().post(`/v1/keys/${old.keyId}/rotate`, {})).status).toBe(200);
    expect(await socket.closed).toMatchObject({ code: 4503 });
    expect(await opens(a, key)).toBe(false);
    expect((await admin().post("/v1/keys/nobody/rotate", {})).status).toBe(404);
    expect((await admin().post(`/v1/keys/${old.keyId}/rotate`, { graceSeconds: -1 })).status).toBe(400);
  });
});

describe("[KEYS-1] [CHANNELS-1] [SESSIONS-1] what a team may have", () => {
  it("is bounded for each by itself, and what was ended makes room", async () => {
    await using own = await startNats();
    const config = { maxKeysPerTeam: 2, maxChannelsPerTeam: 1, maxSessionsPerTeam: 1 };
    await using small = await startBroker({ nats: own, keptInNats: true, config });
    const others = { ...config, devApiKey: OTHERS, devTeamId: "other" };
    await using other = await startBroker({ nats: own, keptInNats: true, config: others });
    const team = admin(small);
    const full = { status: 403, body: { error: { code: "quota_exceeded", retryable: false } } };
    const first = await team.post("/v1/keys", { scopes: ["publish"] });
    expect((await team.post("/v1/keys", { scopes: ["publish"] })).status).toBe(201);
    expect(await team.post("/v1/keys", { scopes: ["publish"] })).toMatchObject(full);
    expect((await team.put("/v1/channels/spec:a")).status).toBe(201);
    expect((await team.put("/v1/channels/spec:a")).status).toBe(200);
    expect(await team.put("/v1/channels/spec:b")).toMatchObject(full);
    const session = { userId: "u", expiresAt: new Date(Date.now() + 60_000).toISOString() };
    expect((await team.post("/v1/sessions", session)).status).toBe(201);
    expect(await team.post("/v1/sessions", session)).toMatchObject(full);
    expect((await createApiClient(other.httpUrl, OTHERS).post("/v1/keys", { scopes: ["publish"] })).status).toBe(201);
    expect((await team.delete(`/v1/keys/${(first.body as { keyId: string }).keyId}`)).status).toBe(204);
    expect((await team.post("/v1/keys", { scopes: ["publish"] })).status).toBe(201);
    expect((await team.delete("/v1/channels/spec:a")).status).toBe(204);
    expect((await team.put("/v1/channels/spec:b")).status).toBe(201);
  });
});

describe("[HTTP-6] what a publisher needs to know", () => {
  it("is told to keys that may publish, the same by every broker, and another to another team", async () => {
    const { key } = await newKey({ scopes: ["publish"], channels: ["spec:*"] });
    const { key: reader } = await newKey({ scopes: ["subscribe"] });
    const about = (broker: InProcessBroker, apiKey: string) =>
      createApiClient(broker.httpUrl, apiKey).get("/v1/publisher");
    const told = await about(a, key);
    expect(told).toMatchObject({ status: 200, body: { teamId: "demo", stream: "KATA" } });
    expect((told.body as { idempotencySecret: string }).idempotencySecret).toMatch(/^[A-Za-z0-9_-]{43}$/);
    await expect.poll(() => about(b, key)).toEqual(told);
    const config = { devApiKey: OTHERS, devTeamId: "other" };
    await using others = await startBroker({ nats, keptInNats: true, config });
    const { body } = await about(others, OTHERS);
    expect(body).toMatchObject({ teamId: "other" });
    expect(body).not.toMatchObject({
      idempotencySecret: (told.body as { idempotencySecret: string }).idempotencySecret,
    });
    expect((await about(a, reader)).status).toBe(403);
    expect((await about(a, "kat_live_x_0123456789abcdef")).status).toBe(401);
    const { sessionId } = (
      await admin().post("/v1/sessions", { userId: "u", expiresAt: new Date(Date.now() + 60_000).toISOString() })
    ).body as { sessionId: string };
    const asUser = await fetch(`${a.httpUrl}/v1/publisher`, { headers: { authorization: `Bearer ${sessionId}` } });
    expect(asUser.status).toBe(403);
  });
});

describe("channels over HTTP", () => {
  it("[CHANNELS-1] [CHANNELS-2] [CHANNELS-3] belong to the team that registered them, on every broker", async () => {
    expect(await admin().put("/v1/channels/spec:reg")).toMatchObject({
      status: 201,
      body: { channel: "spec:reg", teamId: "demo" },
    });
    expect((await admin().put("/v1/channels/spec:reg")).status).toBe(200);
    await expect.poll(async () => (await admin(b).get("/v1/channels")).body).toEqual({ channels: ["spec:reg"] });
    expect(await admin().put("/v1/channels/team:demo")).toMatchObject({ status: 400 });
    expect(await admin().put("/v1/channels/spec:a%20b")).toMatchObject({ status: 400 });
    expect((await admin().delete("/v1/channels/spec:reg")).status).toBe(204);
    expect((await admin().delete("/v1/channels/spec:reg")).status).toBe(404);
    expect((await admin().get("/v1/channels")).body).toEqual({ channels: [] });
  });

  it("[KEYS-2] [CHANNELS-2] are listed in pages, as keys are", async () => {
    const ids = ["p1", "p2", "p3", "p4", "p5"].map((id) => `spec:${id}`);
    for (const id of ids) expect((await admin().put(`/v1/channels/${id}`)).status).toBe(201);
    const page = async (query: string) => (await admin().get(`/v1/channels?${query}`)).body;
    expect(await page("limit=2")).toEqual({ channels: ids.slice(0, 2), next: "spec:p2" });
    expect(await page("limit=2&after=spec:p2")).toEqual({ channels: ids.slice(2, 4), next: "spec:p4" });
    expect(await page("limit=2&after=spec%3Ap4")).toEqual({ channels: ids.slice(4) });
    for (const id of ids) expect((await admin().delete(`/v1/channels/${id}`)).status).toBe(204);
    // A place that is gone is a place all the same.
    expect(await page("limit=2&after=spec:p2")).toEqual({ channels: [] });

    const made: string[] = [];
    for (let n = 0; n < 3; n++) made.push((await newKey({ scopes: ["publish"] })).keyId);
    const seen: string[] = [];
    let query = "limit=1";
    for (;;) {
      const { status, body } = await admin().get(`/v1/keys?${query}`);
      expect(status).toBe(200);
      const { keys, next } = body as { keys: { keyId: string }[]; next?: string };
      expect(keys).toHaveLength(1);
      seen.push(...keys.map(({ keyId }) => keyId));
      if (next === undefined) break;
      query = `limit=1&after=${encodeURIComponent(next)}`;
    }
    const all = (await admin().get("/v1/keys")).body as { keys: { keyId: string; createdAt: string }[] };
    expect(seen).toEqual(all.keys.map(({ keyId }) => keyId));
    expect(seen).toEqual(expect.arrayContaining(made));
    const times = all.keys.map(({ createdAt }) => createdAt);
    expect(times).toEqual([...times].sort());
    for (const keyId of made) await admin().delete(`/v1/keys/${keyId}`);
    for (const path of ["/v1/keys", "/v1/channels"]) {
      for (const broken of ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "before=x", "after=%zz"]) {
        expect(await admin().get(`${path}?${broken}`)).toMatchObject({
          status: 400,
          body: { error: { code: "bad_request" } },
        });
      }
    }
  });

  it("[ERROR-3] a subscription ends when its channel becomes another team's", async () => {
    await using others = await startBroker({
      nats,
      keptInNats: true,
      config: { devApiKey: OTHERS, devTeamId: "other" },
    });
    const { key } = await newKey({ scopes: ["subscribe"] });
    await admin().put("/v1/channels/spec:moves");
    await using socket = await connectRaw({ wsUrl: a.wsUrl, apiKey: key });
    socket.send({ type: "subscribe", channel: "spec:moves" });
    await socket.nextOf("caught_up");
    await admin().delete("/v1/channels/spec:moves");
    expect((await createApiClient(others.httpUrl, OTHERS).put("/v1/channels/spec:moves")).status).toBe(201);
    expect((await socket.nextOf("error")).payload).toMatchObject({ code: "forbidden", channel: "spec:moves" });
    expect((await admin().put("/v1/channels/spec:moves")).body).toMatchObject({ error: { code: "taken" } });
    socket.send({ type: "subscribe", channel: "spec:moves" });
    expect((await socket.nextOf("error")).payload).toMatchObject({ code: "forbidden" });
  });
});

const OTHERS = "kat_live_dev_fedcba9876543210";

async function opens(broker: InProcessBroker, apiKey: string): Promise<boolean> {
  try {
    await using _ = await connectRaw({ wsUrl: broker.wsUrl, apiKey });
    return true;
  } catch {
    return false;
  }
}
