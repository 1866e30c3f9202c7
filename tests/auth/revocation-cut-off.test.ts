import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { CreatedKey, NewKey } from "../../broker/src/auth/keys/key-store.ts";
import { type NatsProxy, startNatsProxy } from "../support/nats-proxy.ts";
import { CALLOUT } from "../support/nats-secrets.ts";
import { type Kept, type MatrixBroker, openBroker, PATIENCE, startKept } from "./matrix-rig.ts";
import { endings, type Held, holdNats, holdSocket, holdStream, opens, together } from "./revocation-rig.ts";

// A broker that cannot hear of what is taken back: it finds out when NATS is back, and after KATA_AUTH_STALE_MS it does
// not believe what it knew any more.

const CHANNEL = "spec:s1";

let kept: Kept;
let proxy: NatsProxy;

beforeAll(async () => {
  kept = await startKept();
  proxy = await startNatsProxy({ port: kept.nats.port });
  await kept.channels.register("t1", CHANNEL);
});
afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await kept?.[Symbol.asyncDispose]();
});

/** A broker whose way to NATS goes through the proxy. */
function openCutOff(config: Parameters<typeof openBroker>[1] = {}): Promise<MatrixBroker> {
  return openBroker(kept, { natsUrl: proxy.url, auditIntervalMs: 100, natsTimeoutMs: 1_000, ...CALLOUT, ...config });
}

async function makeFor(broker: MatrixBroker, more: Partial<NewKey> = {}): Promise<CreatedKey> {
  const created = await kept.keys.create({ teamId: "t1", scopes: ["subscribe", "publish"], ...more });
  await vi.waitFor(async () => expect(await opens(broker, created.key, CHANNEL)).toBe("200 open"), PATIENCE);
  return created;
}

function cutOff(): void {
  proxy.refuse(true);
  proxy.cut();
}

/** What a broker does that believes nothing. */
const NOBODY = "503 503";

/** Whether a socket is still there, by its own answer. */
async function stays({ client }: Awaited<ReturnType<typeof holdSocket>>): Promise<void> {
  client.send({ type: "ping" });
  await client.nextOf("pong");
}

describe("a broker that is cut off from NATS", () => {
  it("[AUTH-3] closes what was revoked meanwhile when it is back, and nothing else", async () => {
    await using broker = await openCutOff();
    const gone = await makeFor(broker);
    const rotated = await makeFor(broker);
    const quiet = await makeFor(broker);
    const user = { userId: "ann", teamId: "t1", expiresAt: Date.now() + 3_600_000 };
    const session = await kept.sessions.create(user);
    const mine = await Promise.all([
      holdSocket("revoked ws", broker, gone.key, CHANNEL),
      holdStream("revoked stream", broker, gone.key, CHANNEL),
      holdNats("revoked nats", kept.nats.publicUrl, gone.key),
      holdSocket("rotated ws", broker, rotated.key, CHANNEL),
      holdSocket("session ws", broker, session, CHANNEL),
    ]);
    const other = await holdSocket("other", broker, quiet.key, CHANNEL);
    await using _ = together([...mine, other]);
    cutOff();
    await kept.keys.revoke("t1", gone.keyId);
    await kept.keys.rotate("t1", rotated.keyId);
    await kept.sessions.revoke(session);
    // It cannot know, and what it lets in it lets in by what it knew.
    for (const each of mine.filter(({ name }) => name.endsWith("ws"))) await stays(each as never);
    proxy.refuse(false);
    await vi.waitFor(
      () =>
        expect(endings(mine)).toEqual({
          "revoked ws": "4503",
          "revoked stream": "ended",
          "revoked nats": "ended",
          "rotated ws": "4503",
          "session ws": "4503",
        }),
      PATIENCE,
    );
    for (const token of [gone.key, rotated.key, session]) expect(await opens(broker, token, CHANNEL)).toBe("401 401");
    await stays(other);
    expect(other.ending()).toBeUndefined();
  });

  it("[ERROR-3] ends the subscription of a channel that was taken away meanwhile when it is back", async () => {
    await using broker = await openCutOff();
    await kept.channels.register("t1", "spec:moves");
    const { key } = await makeFor(broker);
    const socket = await holdSocket("ws", broker, key, "spec:moves");
    const stream = await holdStream("stream", broker, key, "spec:moves");
    await using _ = together([socket, stream]);
    cutOff();
    await kept.channels.unregister("t1", "spec:moves");
    await kept.channels.register("t2", "spec:moves");
    await stays(socket);
    proxy.refuse(false);
    expect((await socket.client.nextOf("error")).payload).toMatchObject({ code: "forbidden", channel: "spec:moves" });
    await vi.waitFor(() => expect(stream.ending()).toBe("ended"), PATIENCE);
  });

  it("[AUTH-3] ends what expires meanwhile when it does: that needs no NATS", async () => {
    await using broker = await openCutOff({ heartbeatIntervalMs: 40 });
    const { key } = await makeFor(broker, { expiresAt: Date.now() + 3_000 });
    const mine = [await holdSocket("ws", broker, key, CHANNEL), await holdStream("stream", broker, key, CHANNEL)];
    await using _ = together(mine);
    cutOff();
    await vi.waitFor(() => expect(endings(mine)).toEqual({ ws: "4401", stream: "ended" }), PATIENCE);
    proxy.refuse(false);
  });

  it.each([
    ["whose connections are cut", cutOff, () => proxy.refuse(false)],
    ["whose NATS answers nothing", () => proxy.pause(), () => proxy.resume()],
    ["whose nats-server is suspended", () => kept.nats.suspend(), () => kept.nats.resume()],
  ] as [string, () => void, () => void][])(
    "[CONNECT-5] %s refuses everybody once what it knows is stale, and lets in who is right when it is back",
    async (_, away, back) => {
      await using broker = await openCutOff({ authStaleMs: 2_000 });
      const right = await makeFor(broker);
      const gone = await makeFor(broker);
      const user = { userId: "ann", teamId: "t1", expiresAt: Date.now() + 3_600_000 };
      const session = await kept.sessions.create(user);
      await vi.waitFor(async () => expect(await opens(broker, session, CHANNEL)).toBe("200 open"), PATIENCE);
      const held = await holdSocket("ws", broker, right.key, CHANNEL);
      await using __ = together([held]);
      await kept.keys.revoke("t1", gone.keyId);
      await vi.waitFor(async () => expect(await opens(broker, gone.key, CHANNEL)).toBe("401 401"), PATIENCE);
      away();
      try {
        for (const token of [right.key, session, gone.key]) {
          await vi.waitFor(async () => expect(await opens(broker, token, CHANNEL)).toBe(NOBODY), PATIENCE);
        }
        // What was let in before stays: nobody has taken it back.
        await stays(held);
        // Whose a channel is, it does not know either, from a moment of its own on.
        await vi.waitFor(async () => {
          held.client.send({ type: "subscribe", channel: "spec:s2" });
          const { payload } = await held.client.nextOf("error");
          expect(payload).toMatchObject({ code: "unavailable", retryable: true });
        }, PATIENCE);
        // It would extend the connection by what is not known.
        held.client.send({ type: "auth", token: right.key });
        expect((await held.client.nextOf("error")).payload).toMatchObject({ code: "unavailable" });
        expect(await opens(broker, "kat_live_nobody_0123456789abcdef", CHANNEL)).toBe(NOBODY);
      } finally {
        back();
      }
      for (const token of [right.key, session]) {
        await vi.waitFor(async () => expect(await opens(broker, token, CHANNEL)).toBe("200 open"), PATIENCE);
      }
      await vi.waitFor(async () => expect(await opens(broker, gone.key, CHANNEL)).toBe("401 401"), PATIENCE);
      await stays(held);
    },
  );
});

describe("a nats-server that is killed and started again", () => {
  it("brings no key back: what was revoked before stays so at every broker, what is right is let in", async () => {
    await using a = await openBroker(kept, CALLOUT);
    await using b = await openCutOff();
    const gone = await makeFor(a);
    const right = await makeFor(a);
    const mine: Held[] = [await holdSocket("a", a, gone.key, CHANNEL), await holdSocket("b", b, gone.key, CHANNEL)];
    await using _ = together(mine);
    await kept.keys.revoke("t1", gone.keyId);
    await vi.waitFor(() => expect(endings(mine)).toEqual({ a: "4503", b: "4503" }), PATIENCE);
    await kept.nats.kill();
    await kept.nats.start();
    for (const broker of [a, b]) {
      await vi.waitFor(async () => expect(await opens(broker, right.key, CHANNEL)).toBe("200 open"), PATIENCE);
      expect(await opens(broker, gone.key, CHANNEL)).toBe("401 401");
    }
  });
});
