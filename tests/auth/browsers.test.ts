import { type ApiKeyAuth, loadBrokerConfig, type SessionStore } from "@kata/broker";
import { EventSource } from "eventsource";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type InProcessBroker, startBroker, TEST_KEY } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectRaw, RefusedUpgrade } from "../support/raw-client.ts";

const APP = "https://app.example.com";
const COOKIE = "kata_session";
const SESSION = "session-of-ann-1f0c";
/** Of everything that was presented, what must never be seen again. */
const SECRETS = [TEST_KEY, SESSION, "token-in-a-url-77aa", "token-in-a-header-88bb", "cookie-of-nobody-99cc"];

const sessions: SessionStore = {
  verifySession: async (sessionId) =>
    sessionId === SESSION
      ? { type: "session_user", teamId: "demo", userId: "ann", expiresAt: Date.now() + 3_600_000 }
      : undefined,
  verifyToken: async () => undefined,
};

let nats: TestNats;
let broker: InProcessBroker;
/** As it comes: no cookie, no origins. */
let plain: InProcessBroker;
const lines: string[] = [];
const note = (...parts: unknown[]) => void lines.push(JSON.stringify(parts));

beforeAll(async () => {
  nats = await startNats();
  broker = await startBroker({
    nats,
    sessions,
    config: { allowedOrigins: [APP, "http://localhost:5173"], sessionCookie: COOKIE },
    logger: { debug: note, info: note, warn: note, error: note },
  });
  plain = await startBroker({ nats, sessions });
});

afterAll(async () => {
  await plain?.close();
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

type Headers = Record<string, string>;

const EVENTS = "/v1/channels/team:demo/events";
const EVENT = JSON.stringify({ type: "log_entry", payload: { message: "x" } });

/** Every way in, and the status with which it answers: a WebSocket that opens is 101. */
const ENTRANCES: Record<string, (headers: Headers, to?: InProcessBroker, query?: string) => Promise<number>> = {
  async upgrade(headers, to = broker, query = "") {
    try {
      await using _socket = await connectRaw({ wsUrl: to.wsUrl + query, headers });
      return 101;
    } catch (error) {
      if (error instanceof RefusedUpgrade) return error.status;
      throw error;
    }
  },
  history: (headers, to = broker, query = "") => status(`${to.httpUrl}${EVENTS}${query}`, { headers }),
  stream: (headers, to = broker, query = "") =>
    status(`${to.httpUrl}/v1/channels/team:demo/stream${query}`, { headers }),
  publish: (headers, to = broker, query = "") =>
    status(`${to.httpUrl}${EVENTS}${query}`, { method: "POST", headers, body: EVENT }),
};
const IN: Record<string, number> = { upgrade: 101, history: 200, stream: 200, publish: 201 };
const entrances = Object.entries(ENTRANCES);

async function status(url: string, init: RequestInit): Promise<number> {
  const response = await fetch(url, init);
  await response.body?.cancel();
  return response.status;
}

async function stored(): Promise<number> {
  const response = await fetch(`${broker.httpUrl}${EVENTS}?limit=1000`, { headers: { "x-api-key": TEST_KEY } });
  return ((await response.json()) as { events: unknown[] }).events.length;
}

const cookie = (value: string) => `theme=dark; ${COOKIE}=${value}`;

describe.each(entrances)("[CONNECT-6] %s with a session cookie", (name, enter) => {
  it.each([APP, "http://localhost:5173"])("is let in from %s, which is on the list", async (origin) => {
    expect(await enter({ cookie: cookie(SESSION), origin })).toBe(IN[name]);
  });

  it.each([
    "https://evil.example",
    "null",
    "http://app.example.com",
    "https://app.example.com.evil.example",
    "https://app.example.com:8443",
    "https://APP.example.com",
    "https://sub.app.example.com",
    "http://localhost:5174",
  ])("is forbidden from %s", async (origin) => {
    expect(await enter({ cookie: cookie(SESSION), origin })).toBe(403);
  });

  it("is nobody's without an Origin, as a browser's GET to the page's own origin is", async () => {
    expect(await enter({ cookie: cookie(SESSION) })).toBe(401);
  });

  it("is nobody's if it is wrong, comes twice, or has another name", async () => {
    for (const text of [cookie("cookie-of-nobody-99cc"), `${cookie(SESSION)}; ${COOKIE}=x`, `sid=${SESSION}`]) {
      expect(await enter({ cookie: text, origin: APP })).toBe(401);
    }
  });

  it("is not read where something else was presented, which counts from any origin", async () => {
    const origin = "https://evil.example";
    expect(await enter({ cookie: cookie(SESSION), origin, "x-api-key": TEST_KEY })).toBe(IN[name]);
    expect(await enter({ cookie: cookie(SESSION), origin, authorization: `Bearer ${TEST_KEY}` })).toBe(IN[name]);
    expect(await enter({ cookie: cookie(SESSION), origin: APP, "x-api-key": "kat_live_wrong" })).toBe(401);
  });

  it("is not read by default", async () => {
    expect(loadBrokerConfig({})).toMatchObject({ allowedOrigins: [], sessionCookie: undefined });
    expect(await enter({ cookie: cookie(SESSION), origin: APP }, plain)).toBe(401);
  });
});

describe("[CONNECT-6] a page of another origin", () => {
  it("is told over the WebSocket, too, and does not come back", async () => {
    await using socket = await connectRaw({
      wsUrl: broker.wsUrl,
      protocols: ["kata.v1"],
      headers: { cookie: cookie(SESSION), origin: "https://evil.example" },
    });
    expect((await socket.nextOf("error")).payload).toMatchObject({ code: "forbidden", retryable: false });
    expect(await socket.closed).toMatchObject({ code: 4504 });
  });

  it("changes nothing with the cookie of a user who looks at it", async () => {
    const before = await stored();
    // What a form can send: no preflight is asked.
    const headers = { cookie: cookie(SESSION), origin: "https://evil.example", "content-type": "text/plain" };
    expect(await status(broker.httpUrl + EVENTS, { method: "POST", headers, body: EVENT })).toBe(403);
    expect(await stored()).toBe(before);
  });
});

describe("[CONNECT-6] [STREAM-1] an EventSource that sends a cookie and an Origin, as a browser's does", () => {
  it("gets the events", async () => {
    const got: string[] = [];
    const source = new EventSource(`${broker.httpUrl}/v1/channels/agent:es/stream?rewind=all`, {
      fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, cookie: cookie(SESSION), origin: APP } }),
    });
    try {
      source.onmessage = ({ data }) => got.push((JSON.parse(data) as { payload: { message: string } }).payload.message);
      await new Promise((resolve) => source.addEventListener("subscribed", resolve));
      const published = await fetch(`${broker.httpUrl}/v1/channels/agent:es/events`, {
        method: "POST",
        headers: { cookie: cookie(SESSION), origin: APP },
        body: EVENT,
      });
      expect(published.status).toBe(201);
      await expect.poll(() => got).toEqual(["x"]);
    } finally {
      source.close();
    }
  });
});

describe("[CORS-1] an answer", () => {
  const key = { "x-api-key": TEST_KEY };
  const REQUESTS: [string, string, RequestInit & { headers?: Headers }, number][] = [
    ["of the API", EVENTS, { headers: key }, 200],
    ["to a publish", EVENTS, { method: "POST", headers: key, body: EVENT }, 201],
    ["of a stream", "/v1/channels/team:demo/stream", { headers: key }, 200],
    ["without credentials", EVENTS, {}, 401],
    ["of a stream without credentials", "/v1/channels/team:demo/stream", {}, 401],
    ["about another team's channel", "/v1/channels/team:other/events", { headers: key }, 403],
    ["about a path that is none", "/nope", {}, 404],
    ["about a method that is not served", EVENTS, { method: "DELETE" }, 405],
    ["about its health", "/healthz", {}, 200],
    ["that is not to be read", "/healthz", { method: "HEAD" }, 200],
  ];
  const ask = async (to: InProcessBroker, path: string, init: RequestInit & { headers?: Headers }, origin?: string) => {
    const headers = { ...init.headers, ...(origin === undefined ? {} : { origin }) };
    const response = await fetch(to.httpUrl + path, { ...init, headers });
    await response.body?.cancel();
    return response;
  };
  const told = (response: Response) =>
    [...response.headers].filter(([name]) => name.startsWith("access-control-") || name === "vary").sort();

  it.each(REQUESTS)(
    "%s may be read by pages of a listed origin, and by nobody else's",
    async (_, path, init, expected) => {
      const listed = await ask(broker, path, init, APP);
      expect(listed.status).toBe(expected);
      expect(told(listed)).toEqual([
        ["access-control-allow-credentials", "true"],
        ["access-control-allow-origin", APP],
        ["access-control-expose-headers", "retry-after"],
        ["vary", "origin"],
      ]);
      for (const origin of ["https://evil.example", "null", undefined]) {
        expect(told(await ask(broker, path, init, origin))).toEqual([["vary", "origin"]]);
      }
      expect(told(await ask(plain, path, init, APP))).toEqual([]);
    },
  );
});

describe("[CORS-2] a preflight", () => {
  const preflight = (to: InProcessBroker, headers: Headers) =>
    fetch(to.httpUrl + EVENTS, { method: "OPTIONS", headers });
  const asked = { "access-control-request-method": "POST", "access-control-request-headers": "x-api-key" };

  it("of a listed origin is told what it may send", async () => {
    const response = await preflight(broker, { origin: APP, ...asked });
    expect([response.status, await response.text()]).toEqual([204, ""]);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "access-control-allow-origin": APP,
      "access-control-allow-credentials": "true",
      "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE",
      "access-control-allow-headers":
        "authorization, x-api-key, content-type, last-event-id, idempotency-key, kata-idempotency-key, kata-publish-id, kata-attempt",
      "access-control-max-age": "600",
      vary: "origin",
    });
  });

  it("of another origin is forbidden", async () => {
    const response = await preflight(broker, { origin: "https://evil.example", ...asked });
    expect([response.status, await response.json()]).toMatchObject([403, { error: { code: "forbidden" } }]);
    expect([...response.headers.keys()].filter((name) => name.startsWith("access-control-"))).toEqual([]);
  });

  it("is none without an origin, and where there is no list", async () => {
    expect((await preflight(broker, {})).status).toBe(405);
    expect((await preflight(plain, { origin: APP, ...asked })).status).toBe(405);
  });
});

describe("[CONNECT-2] what stands in a URL", () => {
  it.each(entrances)("%s does not read", async (_, enter) => {
    for (const name of ["token", "access_token", "api_key", "apiKey", "key", "session", COOKIE]) {
      for (const secret of [TEST_KEY, SESSION]) {
        expect(await enter({ origin: APP }, broker, `?${name}=${secret}`), name).toBe(401);
      }
    }
  });

  it("is in no answer, no log line and no metric, nor is what came in its place", async () => {
    const texts: string[] = [];
    const query = "?token=token-in-a-url-77aa";
    const wrong = [
      { authorization: "Bearer token-in-a-header-88bb" },
      { "x-api-key": "token-in-a-header-88bb" },
      { cookie: cookie("cookie-of-nobody-99cc"), origin: APP },
      { cookie: cookie(SESSION), origin: "https://evil.example" },
      { "x-api-key": TEST_KEY },
    ];
    const stream = "/v1/channels/team:demo/stream";
    for (const headers of wrong) {
      for (const [path, init] of [
        [EVENTS, { headers }],
        [stream, { headers }],
        [EVENTS, { headers, method: "DELETE" }],
        ["/nope", { headers }],
      ] as const) {
        const response = await fetch(broker.httpUrl + path + query, init);
        texts.push(await response.text(), JSON.stringify([...response.headers]));
      }
    }
    const away: ApiKeyAuth = { verifyKey: () => Promise.reject(new Error("the keys cannot be looked up")) };
    await using failing = await startBroker({
      nats,
      apiKeys: away,
      logger: { debug: note, info: note, warn: note, error: note },
    });
    expect(await ENTRANCES.history?.({ "x-api-key": TEST_KEY }, failing, query)).toBe(503);
    texts.push(await broker.metrics(), await failing.metrics(), ...lines);
    expect(lines.filter((line) => line.includes("listening on"))).toHaveLength(2);
    expect(lines.filter((line) => line.includes("an adapter failed"))).toHaveLength(1);
    for (const text of texts) for (const secret of SECRETS) expect(text).not.toContain(secret);
  });
});
