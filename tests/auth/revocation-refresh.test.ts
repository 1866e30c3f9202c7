import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Kept, PATIENCE, startKept } from "./matrix-rig.ts";
import { ann, gate, isAnswer, openHeld, principal } from "./revocation-held.ts";
import { holdSocket, together } from "./revocation-rig.ts";

// The rest is in expiry.test.ts, and from the client's side in tests/client/get-token.test.ts.

let kept: Kept;

beforeAll(async () => {
  kept = await startKept();
});
afterAll(() => kept?.[Symbol.asyncDispose]());

const EVENT = JSON.stringify({ type: "log_entry", payload: { message: "m" } });

describe("[AUTH-1] [AUTH-3] a refresh", () => {
  it("with an expired token, or after the end, renews nothing", async () => {
    await using held = await openHeld(kept);
    const answer = gate();
    held.sessions.know("first", ann("s1", 2_000));
    held.sessions.know("expired", ann("s2", -1));
    held.sessions.know("late", ann("s3"), answer.opened);
    const socket = await holdSocket("ws", held.broker, "first", "team:t1");
    await using _ = together([socket]);
    socket.client.send({ type: "auth", token: "expired" });
    expect((await socket.client.next(({ payload }) => isAnswer(payload))).payload).toMatchObject({
      code: "token_expired",
    });
    socket.client.send({ type: "auth", token: "late" });
    await vi.waitFor(() => expect(socket.ending()).toBe("4401"), PATIENCE);
    answer.open();
    expect(socket.client.messages.some(({ type }) => type === "authenticated")).toBe(false);
  });
});

describe("[AUTH-3] a client that sleeps while its token expires", () => {
  it("wakes to 4401, and to nothing that was stored after it", async () => {
    await using held = await openHeld(kept);
    const first = ann("s1", 2_000);
    held.sessions.know("first", first);
    held.keys.know("kat_live_other", principal("other"));
    const { client } = await holdSocket("ws", held.broker, "first", "team:t1");
    client.socket.pause();
    await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(first.expiresAt), PATIENCE);
    const url = `${held.broker.httpUrl}/v1/channels/team:t1/events`;
    // To the broker the connection is gone; the client has not heard of it.
    await vi.waitFor(async () => {
      const metrics = await held.broker.metrics();
      expect(metrics).toMatch(/kata_connections\{[^}]*websocket[^}]*\} 0/);
    }, PATIENCE);
    expect((await fetch(url, { headers: { "x-api-key": "kat_live_other" }, method: "POST", body: EVENT })).status).toBe(
      201,
    );
    client.socket.resume();
    expect(await client.closed).toMatchObject({ code: 4401 });
    expect(client.messages.some(({ type }) => type === "log_entry")).toBe(false);
  });
});
