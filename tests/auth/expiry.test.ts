import type { Principal, SessionStore } from "@kata/broker";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type InProcessBroker, startBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectRaw } from "../support/raw-client.ts";

/** What tokens mean: `<user>:<expiresAt>`, or an answer that a test holds back. */
const held = new Map<string, Promise<void>>();
const sessions: SessionStore = {
  verifySession: async () => undefined,
  async verifyToken(token) {
    const [userId, end] = token.split("_");
    await held.get(token);
    if (userId === undefined || end === undefined) return undefined;
    const user: Extract<Principal, { type: "session_user" }> = {
      type: "session_user",
      teamId: "demo",
      userId,
      expiresAt: Number(end),
    };
    return user;
  },
};

let nats: TestNats;
let a: InProcessBroker;
let b: InProcessBroker;

beforeAll(async () => {
  nats = await startNats();
  // Looked at every few milliseconds.
  const config = { heartbeatIntervalMs: 40, heartbeatTimeoutMs: 60_000 };
  a = await startBroker({ nats, sessions, config });
  b = await startBroker({ nats, sessions, config });
});
afterAll(async () => {
  await a?.close();
  await b?.close();
  await nats?.[Symbol.asyncDispose]();
});

const as = (token: string, broker = a) =>
  connectRaw({ wsUrl: broker.wsUrl, protocols: ["kata.v1", `bearer.${token}`] });
const inMs = (ms: number, userId = "ann") => `${userId}_${Date.now() + ms}`;

describe("[AUTH-3] a connection ends with its credentials", () => {
  it("after a warning that says when, with 4401", async () => {
    const token = inMs(400);
    await using socket = await as(token);
    const warning = (await socket.nextOf("error")).payload;
    expect(warning).toMatchObject({ code: "token_expiring", retryable: true });
    expect(Date.parse(warning.expiresAt ?? "")).toBe(Number(token.split("_")[1]));
    expect((await socket.nextOf("error")).payload).toMatchObject({ code: "token_expired" });
    expect(await socket.closed).toMatchObject({ code: 4401 });
    expect(Date.now()).toBeGreaterThanOrEqual(Number(token.split("_")[1]));
  });

  it("unless fresh ones of the same principal come in time", async () => {
    const first = Date.now() + 300;
    await using socket = await as(`ann_${first}`);
    await socket.nextOf("error");
    socket.send({ type: "auth", token: inMs(3_600_000) });
    await socket.nextOf("authenticated");
    await expect.poll(() => Date.now()).toBeGreaterThan(first + 100);
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
  });

  it("and no other ones help: another user's, expired ones, none that are valid", async () => {
    const end = Date.now() + 500;
    await using socket = await as(`ann_${end}`);
    await socket.nextOf("error");
    for (const [token, code] of [
      [inMs(3_600_000, "bob"), "forbidden"],
      [inMs(-1), "token_expired"],
      ["nobody", "unauthenticated"],
    ] as const) {
      socket.send({ type: "auth", token });
      expect((await socket.nextOf("error")).payload.code).toBe(code);
    }
    expect(await socket.closed).toMatchObject({ code: 4401 });
    expect(socket.messages.some(({ type }) => type === "authenticated")).toBe(false);
  });

  it("an answer that comes after the end renews nothing", async () => {
    const token = inMs(3_600_000);
    let answer: () => void = () => undefined;
    held.set(
      token,
      new Promise((resolve) => {
        answer = resolve;
      }),
    );
    await using socket = await as(inMs(200));
    socket.send({ type: "auth", token });
    expect(await socket.closed).toMatchObject({ code: 4401 });
    answer();
    held.delete(token);
    expect(socket.messages.some(({ type }) => type === "authenticated")).toBe(false);
  });

  it("fresh credentials of one connection are not another's: each has its own end, on every broker", async () => {
    const end = Date.now() + 400;
    await using renewed = await as(`ann_${end}`, a);
    await using other = await as(`ann_${end}`, b);
    renewed.send({ type: "auth", token: inMs(3_600_000) });
    await renewed.nextOf("authenticated");
    expect(await other.closed).toMatchObject({ code: 4401 });
    renewed.send({ type: "ping" });
    await renewed.nextOf("pong");
  });

  it("[STREAM-5] an event stream ends with them, too", async () => {
    const end = Date.now() + 300;
    const response = await fetch(`${a.httpUrl}/v1/channels/team:demo/stream`, {
      headers: { authorization: `Bearer ann_${end}` },
    });
    expect(response.status).toBe(200);
    await response.text();
    expect(Date.now()).toBeGreaterThanOrEqual(end);
  });

  it("credentials that have ended open nothing", async () => {
    await using socket = await as(inMs(-1));
    expect((await socket.nextOf("error")).payload.code).toBe("token_expired");
    expect(await socket.closed).toMatchObject({ code: 4401 });
  });
});
