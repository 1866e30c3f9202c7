import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { type ApiKeyAuth, type BrokerConfig, loadBrokerConfig, type SessionStore } from "@kata/broker";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type InProcessBroker, startBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectRaw, type RawClient, RefusedUpgrade } from "../support/raw-client.ts";

const ONE = "kat_live_one";
const TWO = "kat_live_two";
const WRONG = "kat_live_wrong";

let nats: TestNats;

beforeAll(async () => {
  nats = await startNats();
});

afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
});

interface Rig extends AsyncDisposable {
  readonly broker: InProcessBroker;
  /** How often credentials were looked at. */
  readonly asked: () => number;
  /** What the metrics say that a limit refused. */
  readonly refused: (limit: string) => Promise<number>;
  /** While `true`, whoever is looked at waits. */
  readonly hold: (held: boolean) => void;
}

async function withLimits(config: Partial<BrokerConfig>): Promise<Rig> {
  let asked = 0;
  let open: () => void = () => undefined;
  let gate: Promise<void> = Promise.resolve();
  const apiKeys: ApiKeyAuth = {
    async verifyKey(key) {
      asked++;
      await gate;
      if (key !== ONE && key !== TWO) return undefined;
      return { type: "api_key", teamId: "demo", keyId: key.slice(9), scopes: ["subscribe", "publish"] };
    },
  };
  const sessions: SessionStore = {
    verifySession: async () => undefined,
    async verifyToken(token) {
      asked++;
      return token === "expired"
        ? { type: "session_user", teamId: "demo", userId: "ann", expiresAt: Date.now() - 1 }
        : undefined;
    },
  };
  const broker = await startBroker({ nats, apiKeys, sessions, config });
  return {
    broker,
    asked: () => asked,
    async refused(limit) {
      const line = `kata_refused_total{limit="${limit}"} `;
      return Number(
        (await broker.metrics())
          .split("\n")
          .find((each) => each.startsWith(line))
          ?.slice(line.length),
      );
    },
    hold(held) {
      if (!held) return open();
      gate = new Promise((resolve) => {
        open = resolve;
      });
    },
    async [Symbol.asyncDispose]() {
      open();
      await broker.close();
    },
  };
}

/** What an upgrade without `kata.v1` is answered with; a socket if it is let in. */
async function upgrade({ broker }: Rig, apiKey: string, headers: Record<string, string> = {}): Promise<RawClient> {
  return await connectRaw({ wsUrl: broker.wsUrl, apiKey, headers });
}

async function refusal(attempt: Promise<RawClient>): Promise<{ status: number; code: string }> {
  try {
    await using socket = await attempt;
    throw new Error(`let in: ${socket.socket.url}`);
  } catch (error) {
    if (!(error instanceof RefusedUpgrade)) throw error;
    return { status: error.status, code: (error.body as { error: { code: string } }).error.code };
  }
}

/** The code of the one error, and the close code, of who offered `kata.v1`. */
async function closing({ broker }: Rig, apiKey: string): Promise<{ code: string; close: number }> {
  await using socket = await connectRaw({ wsUrl: broker.wsUrl, apiKey, protocols: ["kata.v1"] });
  const { payload } = await socket.nextOf("error");
  return { code: payload.code, close: (await socket.closed).code };
}

const LIMITED = { status: 429, code: "rate_limited" };
const CLOSED = { code: "rate_limited", close: 4429 };
const EVENTS = "/v1/channels/team:demo/events";

async function ask(
  { broker }: Rig,
  path: string,
  init: RequestInit & { headers: Record<string, string> },
): Promise<{ status: number; code: string | undefined; retryAfter: number | undefined }> {
  const response = await fetch(broker.httpUrl + path, init);
  const header = response.headers.get("retry-after");
  const body = response.headers.get("content-type")?.startsWith("application/json")
    ? ((await response.json()) as { error?: { code: string } })
    : {};
  await response.body?.cancel().catch(() => undefined);
  return { status: response.status, code: body.error?.code, retryAfter: header === null ? undefined : Number(header) };
}

const history = (rig: Rig, apiKey: string, headers: Record<string, string> = {}) =>
  ask(rig, EVENTS, { headers: { "x-api-key": apiKey, ...headers } });
const publish = (rig: Rig, apiKey: string, message = "x") =>
  ask(rig, EVENTS, {
    method: "POST",
    headers: { "x-api-key": apiKey },
    body: JSON.stringify({ type: "log_entry", payload: { message } }),
  });

/** An event stream that stays open. */
async function stream({ broker }: Rig, apiKey: string): Promise<{ status: number } & Disposable> {
  const gone = new AbortController();
  const response = await fetch(`${broker.httpUrl}/v1/channels/team:demo/stream`, {
    headers: { "x-api-key": apiKey },
    signal: gone.signal,
  });
  return { status: response.status, [Symbol.dispose]: () => gone.abort() };
}

describe("[LIMIT-2] connections", () => {
  it.each([
    ["in all", "connections", { maxConnections: 3 }],
    ["of an address", "connections_per_address", { maxConnectionsPerAddress: 3 }],
  ])("%s are limited, event streams among them; one that ends makes room", async (_, limit, config) => {
    await using rig = await withLimits(config);
    await using _one = await upgrade(rig, ONE);
    await using two = await upgrade(rig, TWO);
    using streaming = await stream(rig, ONE);
    expect(streaming.status).toBe(200);
    expect(await refusal(upgrade(rig, ONE))).toEqual(LIMITED);
    expect(await closing(rig, TWO)).toEqual(CLOSED);
    expect((await stream(rig, TWO)).status).toBe(429);
    // Who opens none is not concerned.
    expect((await history(rig, ONE)).status).toBe(200);
    const asked = rig.asked();
    expect(await refusal(upgrade(rig, ONE))).toEqual(LIMITED);
    expect(rig.asked()).toBe(asked);
    expect(await rig.refused(limit)).toBe(4);
    two.socket.terminate();
    await expect.poll(async () => (await stream(rig, ONE)).status).toBe(200);
  });

  it("of a principal are limited, and of another are not", async () => {
    await using rig = await withLimits({ maxConnectionsPerPrincipal: 2 });
    await using _one = await upgrade(rig, ONE);
    using streaming = await stream(rig, ONE);
    expect(await refusal(upgrade(rig, ONE))).toEqual(LIMITED);
    expect(await closing(rig, ONE)).toEqual(CLOSED);
    expect(await rig.refused("connections_per_principal")).toBe(2);
    await using _other = await upgrade(rig, TWO);
    streaming[Symbol.dispose]();
    await expect.poll(async () => (await stream(rig, ONE)).status).toBe(200);
  });

  it("that are refused or go away while they are looked at hold no place", async () => {
    await using rig = await withLimits({ maxConnections: 1 });
    for (let i = 0; i < 3; i++) expect(await refusal(upgrade(rig, WRONG))).toMatchObject({ status: 401 });
    rig.hold(true);
    const gone = Array.from({ length: 3 }, () => rawUpgrade(rig, ONE));
    await expect.poll(rig.asked).toBe(6);
    for (const socket of gone) socket.destroy();
    await Promise.all(gone.map((socket) => once(socket, "close")));
    rig.hold(false);
    await using _one = await upgrade(rig, ONE);
    expect(await refusal(upgrade(rig, ONE))).toEqual(LIMITED);
  });

  it("that are new are limited by address and second, before anybody looks at their credentials", async () => {
    await using rig = await withLimits({ maxNewConnectionsPerSecond: 1, trustedProxies: { hops: 1 } });
    const from = (address: string) => upgrade(rig, ONE, { "x-forwarded-for": address });
    const sockets: RawClient[] = [];
    try {
      // Ten seconds' worth and what a slow machine adds to it.
      const refused = await untilRefused(async () => sockets.push(await from("203.0.113.1")));
      expect(refused).toEqual(LIMITED);
      expect(sockets.length).toBeGreaterThanOrEqual(10);
      expect(rig.asked()).toBe(sockets.length);
      for (;;) {
        const { status, retryAfter } = await ask(rig, "/v1/channels/team:demo/stream", {
          headers: { "x-api-key": ONE, "x-forwarded-for": "203.0.113.1" },
        });
        if (status === 200) continue;
        expect({ status, retryAfter }).toEqual({ status: 429, retryAfter: 1 });
        break;
      }
      await using _other = await from("203.0.113.2");
    } finally {
      for (const socket of sockets) socket.socket.terminate();
    }
    expect(await rig.refused("new_connections")).toBeGreaterThanOrEqual(1);
  });
});

async function untilRefused(attempt: () => Promise<unknown>): Promise<{ status: number; code: string }> {
  for (;;) {
    try {
      await attempt();
    } catch (error) {
      if (!(error instanceof RefusedUpgrade)) throw error;
      return { status: error.status, code: (error.body as { error: { code: string } }).error.code };
    }
  }
}

/** An upgrade by hand, whose answer nobody waits for. */
function rawUpgrade({ broker }: Rig, apiKey: string): Socket {
  const socket = connectTcp(broker.port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write(
    "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n" +
      `sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nx-api-key: ${apiKey}\r\n\r\n`,
  );
  return socket;
}

describe("[LIMIT-3] an address from which wrong credentials come on and on", () => {
  it("is not looked at any more, whatever it presents and wherever it knocks", async () => {
    await using rig = await withLimits({ maxFailedAuthsPerMinute: 3 });
    expect(await refusal(upgrade(rig, WRONG))).toMatchObject({ status: 401 });
    expect(await history(rig, WRONG)).toMatchObject({ status: 401 });
    expect(await history(rig, ONE)).toMatchObject({ status: 200 });
    expect(await closing(rig, WRONG)).toEqual({ code: "unauthenticated", close: 4501 });
    expect(rig.asked()).toBe(4);
    for (const key of [WRONG, ONE]) {
      expect(await refusal(upgrade(rig, key))).toEqual(LIMITED);
      expect(await closing(rig, key)).toEqual(CLOSED);
      expect(await publish(rig, key)).toMatchObject(LIMITED);
      const { retryAfter, ...answer } = await history(rig, key);
      expect(answer).toEqual(LIMITED);
      expect(retryAfter).toBeGreaterThanOrEqual(1);
      expect(retryAfter).toBeLessThanOrEqual(20);
    }
    expect(rig.asked()).toBe(4);
    expect(await rig.refused("failed_auths")).toBe(8);
  });

  it("is another than its neighbour's, also behind a proxy that is trusted; of IPv6 the /64 counts", async () => {
    await using rig = await withLimits({ maxFailedAuthsPerMinute: 2, trustedProxies: { hops: 1 } });
    const from = (address: string, key: string) => history(rig, key, { "x-forwarded-for": address });
    // What stands further left is the client's own invention.
    for (const made of ["1.1.1.1", "2.2.2.2"]) await from(`${made}, 203.0.113.1`, WRONG);
    expect(await from("203.0.113.1", ONE)).toMatchObject(LIMITED);
    expect(await from("203.0.113.2", ONE)).toMatchObject({ status: 200 });
    for (const host of ["1", "ffff:2"]) await from(`2001:db8:1:1::${host}`, WRONG);
    expect(await from("2001:db8:1:1:dead::9", ONE)).toMatchObject(LIMITED);
    expect(await from("2001:db8:1:2::1", ONE)).toMatchObject({ status: 200 });
  });

  it("also counts where a proxy adds a line of its own", async () => {
    await using rig = await withLimits({ maxFailedAuthsPerMinute: 1, trustedProxies: { hops: 1 } });
    const lines = (...addresses: string[]) =>
      new Promise<string>((resolve, reject) => {
        const socket = connectTcp(rig.broker.port, "127.0.0.1");
        const forwarded = addresses.map((address) => `x-forwarded-for: ${address}\r\n`).join("");
        socket.write(`GET ${EVENTS} HTTP/1.1\r\nhost: x\r\nx-api-key: ${WRONG}\r\n${forwarded}\r\n`);
        socket.once("error", reject);
        socket.once("data", (data) => {
          socket.destroy();
          resolve(data.toString("utf8").slice("HTTP/1.1 ".length, "HTTP/1.1 ".length + 3));
        });
      });
    expect(await lines("1.1.1.1", "203.0.113.1")).toBe("401");
    expect(await lines("2.2.2.2", "203.0.113.1")).toBe("429");
    expect(await lines("203.0.113.1", "203.0.113.2")).toBe("401");
  });

  it("is the connection's where no proxy is trusted: nobody gets away by what he writes", async () => {
    await using rig = await withLimits({ maxFailedAuthsPerMinute: 2 });
    for (const made of ["1.1.1.1", "2.2.2.2"]) await history(rig, WRONG, { "x-forwarded-for": made });
    expect(await history(rig, ONE, { "x-forwarded-for": "3.3.3.3" })).toMatchObject(LIMITED);
  });

  it("is not one from which nothing, or what has expired, comes", async () => {
    await using rig = await withLimits({ maxFailedAuthsPerMinute: 1 });
    for (let i = 0; i < 5; i++) {
      expect(await ask(rig, EVENTS, { headers: {} })).toMatchObject({ status: 401, code: "unauthenticated" });
    }
    expect(rig.asked()).toBe(0);
    for (let i = 0; i < 5; i++) {
      expect(await ask(rig, EVENTS, { headers: { authorization: "Bearer expired" } })).toMatchObject({
        status: 401,
        code: "token_expired",
      });
    }
    expect(await history(rig, ONE)).toMatchObject({ status: 200 });
  });
});

describe("[LIMIT-5] while too many wait to be let in", () => {
  it("everybody else is told to come back, and is let in once they are through", async () => {
    await using rig = await withLimits({ maxAuthentications: 2 });
    rig.hold(true);
    const waiting = [history(rig, ONE), upgrade(rig, TWO)] as const;
    await expect.poll(rig.asked).toBe(2);
    expect(await history(rig, ONE)).toEqual({ status: 503, code: "unavailable", retryAfter: 1 });
    expect(await refusal(upgrade(rig, ONE))).toEqual({ status: 503, code: "unavailable" });
    expect(await closing(rig, ONE)).toEqual({ code: "unavailable", close: 4450 });
    expect(rig.asked()).toBe(2);
    expect(await rig.refused("authentications")).toBe(3);
    rig.hold(false);
    expect((await waiting[0]).status).toBe(200);
    await using _two = await waiting[1];
    expect((await history(rig, ONE)).status).toBe(200);
  });

  it("or too many bytes are on their way", async () => {
    await using rig = await withLimits({ maxBodiesBytes: 1_000 });
    const slow = connectTcp(rig.broker.port, "127.0.0.1");
    slow.write(`POST ${EVENTS} HTTP/1.1\r\nhost: x\r\nx-api-key: ${ONE}\r\ncontent-length: 990\r\n\r\n{`);
    await expect.poll(rig.asked).toBe(1);
    expect(await publish(rig, TWO)).toEqual({ status: 503, code: "unavailable", retryAfter: 1 });
    expect(await rig.refused("bodies")).toBe(1);
    slow.destroy();
    await expect.poll(async () => (await publish(rig, TWO)).status).toBe(201);
  });
});

describe("[COMMAND-6] too many commands a second", () => {
  it("are refused with their ids, and cost neither the connection nor its subscriptions", async () => {
    await using rig = await withLimits({ maxCommandsPerSecond: 20, maxSubscriptionsPerConnection: 1 });
    await using socket = await upgrade(rig, ONE);
    socket.send({ type: "subscribe", channel: "team:demo" });
    await socket.nextOf("caught_up");
    const refused = await flood(socket, 5);
    expect(refused.payload).toMatchObject({ code: "rate_limited", retryable: true, id: expect.any(Number) });
    expect((await publish(rig, ONE, "still there")).status).toBe(201);
    await socket.events("team:demo", 1);
    // After a while it is answered again.
    const later = async () => {
      socket.send({ type: "ping", id: "later" });
      return (await socket.next(({ payload }) => (payload as { id?: unknown }).id === "later")).type;
    };
    await expect.poll(later, { interval: 200 }).toBe("pong");
    expect(await rig.refused("commands")).toBeGreaterThanOrEqual(1);
  });

  it("of one who does not stop close it, and nobody else's", async () => {
    await using rig = await withLimits({ maxCommandsPerSecond: 5, maxSubscriptionsPerConnection: 1 });
    await using other = await upgrade(rig, ONE);
    await using socket = await upgrade(rig, ONE);
    for (let id = 0; id < 1_000; id++) socket.send({ type: "ping", id });
    expect(await socket.closed).toMatchObject({ code: 4429, reason: "more than 5 commands a second" });
    expect(socket.messages.filter(({ type }) => type === "pong").length).toBeGreaterThanOrEqual(6);
    expect(socket.messages.at(-1)).toMatchObject({ type: "error", payload: { code: "rate_limited" } });
    other.send({ type: "ping" });
    await other.nextOf("pong");
  });

  it("count pings of the WebSocket, which are answered, too", async () => {
    await using rig = await withLimits({ maxCommandsPerSecond: 5, maxSubscriptionsPerConnection: 1 });
    await using socket = await upgrade(rig, ONE);
    for (let i = 0; i < 1_000; i++) socket.socket.ping();
    expect(await socket.closed).toMatchObject({ code: 4429 });
  });

  it("are not those of a client that comes back to all its channels", async () => {
    await using rig = await withLimits({ maxCommandsPerSecond: 1, maxSubscriptionsPerConnection: 50 });
    await using socket = await upgrade(rig, ONE);
    for (let i = 0; i < 50; i++) socket.send({ type: "subscribe", channel: `agent:a${i}` });
    for (let i = 0; i < 50; i++) await socket.nextOf("caught_up");
  });
});

/** Sends pings, so many at a time, until one is refused. */
async function flood(socket: RawClient, batch: number) {
  for (let id = 0; ; ) {
    for (let i = 0; i < batch; i++) socket.send({ type: "ping", id: id++ });
    const last = id - 1;
    await socket.next(({ payload }) => (payload as { id?: unknown }).id === last);
    const refused = socket.messages.find(({ type }) => type === "error");
    if (refused !== undefined) return refused;
  }
}

describe("[LIMIT-4] a principal that asks too much over HTTP", () => {
  it("is told when to come back; another is not concerned", async () => {
    await using rig = await withLimits({ maxRequestsPerSecond: 1 });
    for (;;) {
      const { status, code, retryAfter } = await history(rig, ONE);
      if (status === 200) continue;
      expect({ status, code, retryAfter }).toEqual({ ...LIMITED, retryAfter: 1 });
      break;
    }
    expect((await history(rig, TWO)).status).toBe(200);
    expect(await rig.refused("requests")).toBe(1);
    await expect.poll(async () => (await publish(rig, ONE)).status, { timeout: 10_000 }).toBe(201);
  });

  it("or publishes too many bytes: one large body comes through, and what follows waits for it", async () => {
    await using rig = await withLimits({ maxPublishBytesPerSecond: 1_000 });
    expect((await publish(rig, ONE, "x".repeat(30_000))).status).toBe(201);
    const { retryAfter, ...answer } = await publish(rig, ONE, "refused");
    expect(answer).toEqual(LIMITED);
    expect(retryAfter).toBeGreaterThanOrEqual(10);
    expect((await publish(rig, TWO, "let in")).status).toBe(201);
    expect(await rig.refused("publish_bytes")).toBe(1);
    const response = await fetch(`${rig.broker.httpUrl}${EVENTS}?limit=1000`, { headers: { "x-api-key": TWO } });
    const { events } = (await response.json()) as { events: { payload: { message: string } }[] };
    const messages = events.map(({ payload }) => payload.message);
    expect(messages).toContain("let in");
    expect(messages).not.toContain("refused");
  });
});

describe("[LIMIT-1] by default", () => {
  it("five thousand of one address, with one key, may come back at once (tests/load does), and commands have a limit", () => {
    const config = loadBrokerConfig({});
    expect(config.maxNewConnectionsPerSecond * 10).toBeGreaterThanOrEqual(5_000);
    expect(config.maxConnectionsPerAddress).toBe(0);
    expect(config.maxConnectionsPerPrincipal).toBeGreaterThanOrEqual(5_000);
    expect(config.maxAuthentications).toBeGreaterThanOrEqual(5_000);
    expect(config.maxCommandsPerSecond).toBeGreaterThan(0);
    expect(config.maxFailedAuthsPerMinute).toBeGreaterThan(0);
  });
});

describe("half a request", () => {
  it("is given up, however slowly the rest drips in: of its headers, of its body, or nothing at all", async () => {
    await using rig = await withLimits({});
    const head = `POST ${EVENTS} HTTP/1.1\r\nhost: x\r\nx-api-key: ${ONE}\r\n`;
    await Promise.all(
      ["", head, `${head}content-length: 1000\r\n\r\n{`].map(async (start) => {
        const socket = connectTcp(rig.broker.port, "127.0.0.1");
        socket.on("error", () => undefined);
        socket.resume();
        if (start !== "") socket.write(start);
        const drip = setInterval(() => start !== "" && socket.write("x"), 500);
        await once(socket, "close");
        clearInterval(drip);
      }),
    );
    expect((await publish(rig, ONE)).status).toBe(201);
  });
});
