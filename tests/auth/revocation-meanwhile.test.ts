import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { ChannelAccess } from "@kata/broker";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { connectRaw, RefusedUpgrade } from "../support/raw-client.ts";
import { type Kept, openBroker, PATIENCE, startKept } from "./matrix-rig.ts";
import { ann, gate, isAnswer, openHeld, principal } from "./revocation-held.ts";
import { holdSocket, holdStream, together } from "./revocation-rig.ts";

// Credentials that are taken back while somebody is let in with them: word of it comes when there is no connection yet
// to end, and the answer that lets in was true when it was asked for.

let kept: Kept;

beforeAll(async () => {
  kept = await startKept();
});
afterAll(() => kept?.[Symbol.asyncDispose]());

/** A broker that keeps keys in NATS, and asks an application whose a spec is, which takes its time. */
async function openSlowAccess() {
  const owner = gate();
  const asked: string[] = [];
  const access: ChannelAccess = {
    async resolveSpecTeamId(id) {
      asked.push(id);
      await owner.opened;
      return "t1";
    },
    resolveAgentTeamId: async () => "t1",
  };
  const broker = await openBroker(kept, {}, { access });
  const { key, keyId } = await kept.keys.create({ teamId: "t1", scopes: ["subscribe", "publish"] });
  const known = async () => (await fetch(`${broker.httpUrl}/v1/channels/agent:a/events`, asKey(key))).status;
  await vi.waitFor(async () => expect(await known()).toBe(200), PATIENCE);
  const revoke = async () => {
    await kept.keys.revoke("t1", keyId);
    await vi.waitFor(async () => expect(await known()).toBe(401), PATIENCE);
  };
  return { broker, key, owner, asked, revoke, [Symbol.asyncDispose]: () => broker.close() };
}

const asKey = (key: string): RequestInit => ({ headers: { "x-api-key": key } });
const EVENT = JSON.stringify({ type: "log_entry", payload: { message: "m" } });

describe("[AUTH-3] a key that is revoked while it is looked at", () => {
  it("opens no WebSocket that stays", async () => {
    await using held = await openHeld(kept);
    const answer = gate();
    held.keys.know("kat_live_k_late", principal("late"), answer.opened);
    const opening = connectRaw({ wsUrl: held.broker.wsUrl, apiKey: "kat_live_k_late" }).then(
      (socket) => socket.closed.then(({ code }) => code),
      (error: unknown) => (error instanceof RefusedUpgrade ? error.status : error),
    );
    await vi.waitFor(() => expect(held.keys.asked).toHaveLength(1), PATIENCE);
    held.keys.tell({ type: "api_key", keyId: "late" });
    answer.open();
    expect(await opening).toSatisfy((how) => how === 4503 || how === 401);
  });

  it("opens no event stream that stays, and publishes nothing", async () => {
    await using held = await openHeld(kept);
    const answer = gate();
    held.keys.know("kat_live_k_late", principal("late"), answer.opened);
    const before = await kept.stored();
    const url = `${held.broker.httpUrl}/v1/channels/team:t1`;
    const reading = fetch(`${url}/stream`, asKey("kat_live_k_late"));
    const writing = fetch(`${url}/events`, { ...asKey("kat_live_k_late"), method: "POST", body: EVENT });
    await vi.waitFor(() => expect(held.keys.asked).toHaveLength(2), PATIENCE);
    held.keys.tell({ type: "api_key", keyId: "late" });
    answer.open();
    expect((await writing).status).toBe(401);
    expect(await kept.stored()).toEqual(before);
    // It ends; one that stays would be read until the test's time is over.
    await (await reading).text();
  });
});

describe("[AUTH-3] a key that is revoked while it is asked whose the channel is", () => {
  it("opens no event stream that stays, reads no history and publishes nothing", async () => {
    await using slow = await openSlowAccess();
    const before = (await kept.stored()).KATA;
    const url = `${slow.broker.httpUrl}/v1/channels/spec:s1`;
    const reading = fetch(`${url}/stream`, asKey(slow.key));
    const looking = fetch(`${url}/events`, asKey(slow.key));
    const writing = fetch(`${url}/events`, { ...asKey(slow.key), method: "POST", body: EVENT });
    await vi.waitFor(() => expect(slow.asked).toHaveLength(3), PATIENCE);
    await slow.revoke();
    slow.owner.open();
    expect([(await looking).status, (await writing).status]).toEqual([401, 401]);
    expect((await kept.stored()).KATA).toEqual(before);
    await (await reading).text();
  });

  it("publishes nothing whose body comes later", async () => {
    await using slow = await openSlowAccess();
    slow.owner.open();
    const before = (await kept.stored()).KATA;
    const asked = httpRequest(`${slow.broker.httpUrl}/v1/channels/spec:s1/events`, {
      method: "POST",
      headers: { "x-api-key": slow.key, "content-length": String(EVENT.length) },
      agent: false,
    });
    asked.write(EVENT.slice(0, 5));
    await vi.waitFor(() => expect(slow.asked).toHaveLength(1), PATIENCE);
    await slow.revoke();
    asked.end(EVENT.slice(5));
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(401);
    expect((await kept.stored()).KATA).toEqual(before);
  });
});

describe("[AUTH-3] an admin key that is revoked while a request of it is half sent", () => {
  it("makes no new key", async () => {
    await using broker = await openBroker(kept, {});
    const { key, keyId } = await kept.keys.create({ teamId: "t1", scopes: ["admin"] });
    const known = async () => (await fetch(`${broker.httpUrl}/v1/keys`, asKey(key))).status;
    await vi.waitFor(async () => expect(await known()).toBe(200), PATIENCE);
    const before = (await kept.stored()).KV_KATA_KEYS?.lastSeq ?? 0;
    const body = JSON.stringify({ scopes: ["subscribe", "publish", "admin"] });
    const asked = httpRequest(`${broker.httpUrl}/v1/keys`, {
      method: "POST",
      headers: { "x-api-key": key, "content-length": String(body.length) },
      agent: false,
    });
    asked.write(body.slice(0, 5));
    // Behind it in the broker's eyes: by then it is known who that was.
    await once(asked, "socket");
    for (let i = 0; i < 5; i++) expect(await known()).toBe(200);
    await kept.keys.revoke("t1", keyId);
    await vi.waitFor(async () => expect(await known()).toBe(401), PATIENCE);
    asked.end(body.slice(5));
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(401);
    // The one write is the revocation.
    expect((await kept.stored()).KV_KATA_KEYS?.lastSeq).toBe(before + 1);
  });
});

describe("[AUTH-1] [AUTH-3] a refresh that is answered too late", () => {
  it("with a session that was revoked meanwhile renews nothing: the connection keeps its own, and ends with it", async () => {
    await using held = await openHeld(kept);
    const answer = gate();
    held.sessions.know("first", ann("s1", 2_000));
    held.sessions.know("second", ann("s2"), answer.opened);
    const socket = await holdSocket("ws", held.broker, "first", "team:t1");
    await using _ = together([socket]);
    socket.client.send({ type: "auth", token: "second" });
    await vi.waitFor(() => expect(held.sessions.asked).toContain("second"), PATIENCE);
    held.sessions.tell({ type: "session", sessionId: "s2" });
    answer.open();
    expect((await socket.client.next(({ payload }) => isAnswer(payload))).payload).toMatchObject({
      code: "unauthenticated",
    });
    await vi.waitFor(() => expect(socket.ending()).toBe("4401"), PATIENCE);
  });

  it("with a secret that was rotated away meanwhile ends with that secret's grace", async () => {
    await using held = await openHeld(kept);
    const answer = gate();
    held.keys.know("kat_live_old", principal("k", { secretId: "s1" }));
    const socket = await holdSocket("ws", held.broker, "kat_live_old", "team:t1");
    const stream = await holdStream("stream", held.broker, "kat_live_old", "team:t1");
    await using _ = together([socket, stream]);
    // Looked at before the rotation: this answer knows of no end.
    held.keys.know("kat_live_old", principal("k", { secretId: "s1" }), answer.opened);
    socket.client.send({ type: "auth", token: "kat_live_old" });
    await vi.waitFor(() => expect(held.keys.asked).toHaveLength(3), PATIENCE);
    held.keys.tell({ type: "api_key", keyId: "k", secretId: "s1", at: Date.now() + 1_000 });
    answer.open();
    await socket.client.nextOf("authenticated");
    await vi.waitFor(() => expect([socket.ending(), stream.ending()]).toEqual(["4401", "ended"]), PATIENCE);
  });
});
