import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type InProcessBroker, startBroker, TEST_KEY } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectRaw, RefusedUpgrade } from "../support/raw-client.ts";
import { createApiClient } from "./api-client.ts";

const OTHERS = "kat_live_dev_fedcba9876543210";
const APP = "https://app.example.com";
const COOKIE = "kata_session";
const HOUR = 3_600_000;

let nats: TestNats;
let a: InProcessBroker;
let b: InProcessBroker;
/** A broker whose administrator is another team's. */
let others: InProcessBroker;
const lines: string[] = [];
const note = (...parts: unknown[]) => void lines.push(JSON.stringify(parts));

beforeAll(async () => {
  nats = await startNats();
  // Looked at every few milliseconds.
  const config = { heartbeatIntervalMs: 40, heartbeatTimeoutMs: 60_000, sessionCookie: COOKIE, allowedOrigins: [APP] };
  const logger = { debug: note, info: note, warn: note, error: note };
  a = await startBroker({ nats, keptInNats: true, config, logger });
  b = await startBroker({ nats, keptInNats: true, config, logger });
  others = await startBroker({ nats, keptInNats: true, config: { devApiKey: OTHERS, devTeamId: "other" } });
});
afterAll(async () => {
  await others?.close();
  await b?.close();
  await a?.close();
  await nats?.[Symbol.asyncDispose]();
});

const admin = (broker = a) => createApiClient(broker.httpUrl, TEST_KEY);
const otherAdmin = () => createApiClient(others.httpUrl, OTHERS);
const hashOf = (id: string) => createHash("sha256").update(id).digest("hex");
const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();

interface Made {
  readonly sessionId: string;
  readonly expiresAt: string;
}

async function newSession(expiresAt = inMs(HOUR), userId = "ann", by = admin()): Promise<Made> {
  const { status, body } = await by.post("/v1/sessions", { userId, expiresAt });
  expect(status).toBe(201);
  return body as Made;
}

type Headers = Record<string, string>;

const bearer = (id: string): Headers => ({ authorization: `Bearer ${id}` });
const cookie = (id: string): Headers => ({ cookie: `${COOKIE}=${id}`, origin: APP });
const connect = (broker: InProcessBroker, headers: Headers) => connectRaw({ wsUrl: broker.wsUrl, headers });

async function statuses(broker: InProcessBroker, headers: Headers): Promise<number[]> {
  const upgrade = connect(broker, headers).then(
    async (socket) => {
      await socket[Symbol.asyncDispose]();
      return 101;
    },
    (error: unknown) => (error instanceof RefusedUpgrade ? error.status : Promise.reject(error)),
  );
  const http = async (path: string, init: RequestInit) => {
    const response = await fetch(broker.httpUrl + path, { ...init, headers });
    await response.body?.cancel();
    return response.status;
  };
  const channel = "/v1/channels/team:demo";
  const body = JSON.stringify({ type: "log_entry", payload: { message: "m" } });
  return [
    await upgrade,
    await http(`${channel}/events`, {}),
    await http(`${channel}/stream`, {}),
    await http(`${channel}/events`, { method: "POST", body }),
  ];
}
const IN = [101, 200, 200, 201];
const OUT = [401, 401, 401, 401];

describe("[SESSIONS-1] a session that an administrator makes", () => {
  it("is the team's, and its id opens every entrance of every broker, as a bearer token and in the cookie", async () => {
    const expiresAt = inMs(HOUR);
    const { status, body } = await admin().post("/v1/sessions", { userId: "ann", expiresAt });
    expect(status).toBe(201);
    expect(body).toEqual({ sessionId: expect.stringMatching(/^kss_/), userId: "ann", teamId: "demo", expiresAt });
    const { sessionId } = body as Made;
    for (const broker of [a, b]) {
      for (const headers of [bearer(sessionId), cookie(sessionId)]) expect(await statuses(broker, headers)).toEqual(IN);
    }
    await using socket = await connectRaw({ wsUrl: b.wsUrl, protocols: ["kata.v1", `bearer.${sessionId}`] });
    socket.send({ type: "subscribe", channel: "team:demo" });
    await socket.nextOf("caught_up");
    socket.send({ type: "subscribe", channel: "team:other" });
    expect((await socket.nextOf("error")).payload.code).toBe("forbidden");
  });

  it("is nobody's key and no administrator, and what names it opens nothing", async () => {
    const { sessionId } = await newSession();
    const asKey = createApiClient(a.httpUrl, sessionId);
    expect((await asKey.get("/v1/channels/team:demo/events")).status).toBe(401);
    for (const [method, path] of [
      ["POST", "/v1/sessions"],
      ["DELETE", `/v1/sessions/${hashOf(sessionId)}`],
      ["GET", "/v1/keys"],
    ] as const) {
      const body = method === "POST" ? JSON.stringify({ userId: "bob", expiresAt: inMs(HOUR) }) : null;
      const response = await fetch(a.httpUrl + path, { method, headers: bearer(sessionId), body });
      expect([path, response.status]).toEqual([path, 403]);
    }
    for (const headers of [bearer(hashOf(sessionId)), cookie(hashOf(sessionId))]) {
      expect(await statuses(a, headers)).toEqual(OUT);
    }
  });

  it("needs the scope admin", async () => {
    const wish = { userId: "ann", expiresAt: inMs(HOUR) };
    const { body } = await admin().post("/v1/keys", { scopes: ["subscribe", "publish"] });
    const { key } = body as { key: string };
    expect((await createApiClient(a.httpUrl, key).post("/v1/sessions", wish)).status).toBe(403);
    expect((await createApiClient(a.httpUrl, "nobody").post("/v1/sessions", wish)).status).toBe(401);
  });

  it.each<[string, unknown]>([
    ["nothing", undefined],
    ["null", null],
    ["a list", []],
    ["no user", { expiresAt: inMs(HOUR) }],
    ["a user without a letter", { userId: "", expiresAt: inMs(HOUR) }],
    ["a user that is too long", { userId: "x".repeat(257), expiresAt: inMs(HOUR) }],
    ["a user that is a number", { userId: 7, expiresAt: inMs(HOUR) }],
    ["no end", { userId: "ann" }],
    ["an end that is over", { userId: "ann", expiresAt: inMs(-1_000) }],
    ["an end that is a number", { userId: "ann", expiresAt: Date.now() + HOUR }],
    ["an end that is a day", { userId: "ann", expiresAt: "2100-01-01" }],
    ["an end without a zone", { userId: "ann", expiresAt: "2100-01-01T00:00:00" }],
    ["a day that no month has", { userId: "ann", expiresAt: "2100-02-30T00:00:00Z" }],
    ["another team", { userId: "ann", expiresAt: inMs(HOUR), teamId: "other" }],
    ["an id of one's choice", { userId: "ann", expiresAt: inMs(HOUR), sessionId: `kss_${"x".repeat(43)}` }],
  ])("with %s is none: 400 and one line", async (_what, wish) => {
    expect(
      await admin().send("POST", "/v1/sessions", wish === undefined ? undefined : JSON.stringify(wish)),
    ).toMatchObject({
      status: 400,
      body: { error: { code: "bad_request", message: expect.stringMatching(/^[^\n]+$/), retryable: false } },
    });
  });

  it("in what is no JSON, or with another method, is answered", async () => {
    expect(await admin().send("POST", "/v1/sessions", "{")).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_json" } },
    });
    expect((await admin().get("/v1/sessions")).status).toBe(405);
    expect((await admin().put("/v1/sessions/x")).status).toBe(405);
  });
});

describe("[SESSIONS-2] a session that an administrator ends", () => {
  it.each([
    ["its id", (id: string) => id],
    ["the hash of it", hashOf],
  ])("by %s, closes what came with it on every broker, and opens nothing any more", async (_what, name) => {
    const { sessionId } = await newSession();
    const { sessionId: staying } = await newSession();
    await using onA = await connect(a, bearer(sessionId));
    await using onB = await connect(b, cookie(sessionId));
    await using stays = await connect(b, bearer(staying));
    const stream = await fetch(`${b.httpUrl}/v1/channels/team:demo/stream`, { headers: bearer(sessionId) });
    expect(stream.status).toBe(200);
    expect((await admin().delete(`/v1/sessions/${name(sessionId)}`)).status).toBe(204);
    expect(await onA.closed).toMatchObject({ code: 4503 });
    expect(await onB.closed).toMatchObject({ code: 4503 });
    await stream.text();
    for (const broker of [a, b]) expect(await statuses(broker, bearer(sessionId))).toEqual(OUT);
    stays.send({ type: "ping" });
    await stays.nextOf("pong");
    expect((await admin().delete(`/v1/sessions/${name(sessionId)}`)).status).toBe(404);
  });

  it("is not another team's: to that one it is as if there were none", async () => {
    const { sessionId } = await newSession();
    await using socket = await connect(a, bearer(sessionId));
    const refusals = [];
    for (const name of [
      sessionId,
      hashOf(sessionId),
      `kss_${"x".repeat(43)}`,
      hashOf("nobody"),
      "nobody",
      "a%20b",
      "%",
    ]) {
      const { status, text } = await otherAdmin().delete(`/v1/sessions/${name}`);
      refusals.push({ status, text });
    }
    expect(new Set(refusals.map((each) => JSON.stringify(each))).size).toBe(1);
    expect(refusals[0]?.status).toBe(404);
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
    // And the other way round: each for its own.
    const theirs = await newSession(inMs(HOUR), "eve", otherAdmin());
    expect((await admin().delete(`/v1/sessions/${theirs.sessionId}`)).status).toBe(404);
    expect((await otherAdmin().delete(`/v1/sessions/${theirs.sessionId}`)).status).toBe(204);
  });

  it("[AUTH-1] a connection that went over to another session in time is not ended with the first", async () => {
    const first = await newSession();
    const second = await newSession();
    const { sessionId: bobs } = await newSession(inMs(HOUR), "bob");
    await using socket = await connect(a, bearer(first.sessionId));
    socket.send({ type: "auth", token: bobs });
    expect((await socket.nextOf("error")).payload.code).toBe("forbidden");
    socket.send({ type: "auth", token: second.sessionId });
    expect((await socket.nextOf("authenticated")).payload).toMatchObject({
      teamId: "demo",
      expiresAt: second.expiresAt,
    });
    expect((await admin().delete(`/v1/sessions/${first.sessionId}`)).status).toBe(204);
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
    expect((await admin().delete(`/v1/sessions/${second.sessionId}`)).status).toBe(204);
    expect(await socket.closed).toMatchObject({ code: 4503 });
  });
});

describe("[AUTH-3] a session that is over", () => {
  it("ends its connections with 4401, and is told as expired to whoever comes with it later", async () => {
    const { sessionId } = await newSession(inMs(1_500));
    await using socket = await connect(a, bearer(sessionId));
    expect((await socket.nextOf("error")).payload.code).toBe("token_expiring");
    expect((await socket.nextOf("error")).payload.code).toBe("token_expired");
    expect(await socket.closed).toMatchObject({ code: 4401 });
    const refused = connect(b, bearer(sessionId));
    await expect(refused).rejects.toMatchObject({ status: 401, body: { error: { code: "token_expired" } } });
    await using polite = await connectRaw({ wsUrl: b.wsUrl, protocols: ["kata.v1", `bearer.${sessionId}`] });
    expect((await polite.nextOf("error")).payload).toMatchObject({ code: "token_expired", retryable: true });
    expect(await polite.closed).toMatchObject({ code: 4401 });
    const answer = await fetch(`${b.httpUrl}/v1/channels/team:demo/events`, { headers: cookie(sessionId) });
    expect(await answer.json()).toMatchObject({ error: { code: "token_expired" } });
  });
});

it("no session id is in a log line or a metric", async () => {
  const { sessionId } = await newSession();
  await using socket = await connect(a, bearer(sessionId));
  expect((await admin().delete(`/v1/sessions/${sessionId}`)).status).toBe(204);
  await socket.closed;
  const texts = [...lines, await a.metrics(), await b.metrics()];
  expect(lines.length).toBeGreaterThan(0);
  expect(texts.filter((text) => text.includes("kss_"))).toEqual([]);
});
