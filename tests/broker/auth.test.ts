import type { ApiKeyAuth, Principal, Scope, SessionStore } from "@kata/broker";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBroker, type TestBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectRaw } from "../support/raw-client.ts";

const KEYS: Record<string, { teamId: string; scopes: Scope[] }> = {
  kat_live_one: { teamId: "demo", scopes: ["subscribe", "publish"] },
  kat_live_other: { teamId: "other", scopes: ["subscribe", "publish"] },
  kat_live_reads: { teamId: "demo", scopes: ["subscribe"] },
  kat_live_writes: { teamId: "demo", scopes: ["publish"] },
};
const apiKeys: ApiKeyAuth = {
  async verifyKey(key) {
    const found = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
    return found && { type: "api_key", keyId: key.slice(9), ...found };
  },
};
const user = (userId: string, expiresAt: number): Extract<Principal, { type: "session_user" }> => ({
  type: "session_user",
  teamId: "demo",
  userId,
  expiresAt,
});
const HOUR = 3_600_000;
const sessions: SessionStore = {
  async verifySession() {
    return undefined;
  },
  async verifyToken(token) {
    if (token === "ann") return user("ann", Date.now() + HOUR);
    if (token === "ann-renewed") return user("ann", Date.UTC(2100, 0, 1));
    if (token === "bob") return user("bob", Date.now() + HOUR);
    return token === "expired" ? user("ann", Date.now() - 1) : undefined;
  },
};

let nats: TestNats;
let broker: TestBroker;

beforeAll(async () => {
  nats = await startNats();
  broker = await startBroker({ nats, apiKeys, sessions });
});

afterAll(async () => {
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

const asUser = (token: string) => connectRaw({ wsUrl: broker.wsUrl, protocols: ["kata.v1", `bearer.${token}`] });
const asKey = (apiKey: string) => connectRaw({ wsUrl: broker.wsUrl, apiKey });

describe("credentials on an open connection", () => {
  it("[AUTH-1] are renewed for the same user, who is told until when", async () => {
    await using socket = await asUser("ann");
    socket.send({ type: "auth", token: "ann-renewed", id: 1 });
    expect((await socket.nextOf("authenticated")).payload).toEqual({
      teamId: "demo",
      expiresAt: "2100-01-01T00:00:00.000Z",
      id: 1,
    });
  });

  it.each([
    ["bob", "forbidden"],
    ["kat_live_one", "forbidden"],
    ["kat_live_other", "forbidden"],
    ["expired", "token_expired"],
    ["nobody", "unauthenticated"],
  ])("[AUTH-2] %s is refused with %s, and the connection keeps the ones it had", async (token, code) => {
    await using socket = await asUser("ann");
    socket.send({ type: "auth", token });
    expect((await socket.nextOf("error")).payload.code).toBe(code);
    socket.send({ type: "subscribe", channel: "team:other" });
    expect((await socket.nextOf("error")).payload.code).toBe("forbidden");
    socket.send({ type: "subscribe", channel: "team:demo" });
    await socket.nextOf("subscribed");
  });

  it("[CLOSE-2] an expired token closes with 4401, which says: fetch a fresh one and reconnect", async () => {
    await using socket = await asUser("expired");
    expect((await socket.nextOf("error")).payload).toMatchObject({ code: "token_expired", retryable: true });
    expect(await socket.closed).toMatchObject({ code: 4401 });
  });
});

describe("scopes", () => {
  const publish = (apiKey: string) =>
    fetch(`${broker.httpUrl}/v1/channels/team:demo/events`, {
      method: "POST",
      headers: { "x-api-key": apiKey },
      body: JSON.stringify({ type: "log_entry", payload: { message: "x" } }),
    });

  it("a key that may only read cannot publish, one that may only publish cannot read", async () => {
    await using reads = await asKey("kat_live_reads");
    reads.send({ type: "subscribe", channel: "team:demo" });
    await reads.nextOf("subscribed");
    expect((await publish("kat_live_reads")).status).toBe(403);
    expect((await publish("kat_live_writes")).status).toBe(201);
    await using writes = await asKey("kat_live_writes");
    writes.send({ type: "subscribe", channel: "team:demo" });
    expect((await writes.nextOf("error")).payload.code).toBe("forbidden");
  });

  it("teams do not see each other", async () => {
    await using one = await asKey("kat_live_one");
    await using other = await asKey("kat_live_other");
    one.send({ type: "subscribe", channel: "team:demo" });
    await one.nextOf("caught_up");
    other.send({ type: "subscribe", channel: "team:demo" });
    expect((await other.nextOf("error")).payload.code).toBe("forbidden");
    expect((await publish("kat_live_other")).status).toBe(403);
    expect((await publish("kat_live_one")).status).toBe(201);
    await one.events("team:demo", 1);
  });
});
