import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBroker, TEST_KEY, type TestBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectRaw } from "../support/raw-client.ts";

let nats: TestNats;
let broker: TestBroker;

beforeAll(async () => {
  nats = await startNats();
  broker = await startBroker({
    nats,
    config: { natsTimeoutMs: 2_000, publishTimeoutMs: 1_000 },
    access: {
      resolveSpecTeamId: async () => "other",
      resolveAgentTeamId: async (id) => (id === "throws" ? Promise.reject(new Error("away")) : "demo"),
    },
  });
});

afterAll(async () => {
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

async function post(channel: string, body: unknown, headers: Record<string, string> = { "x-api-key": TEST_KEY }) {
  const response = await fetch(`${broker.httpUrl}/v1/channels/${channel}/events`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
  });
  return {
    status: response.status,
    body: (await response.json()) as {
      eventIds?: string[];
      error?: { code: string; message: string; retryable: boolean };
    },
  };
}

const log = (message: string) => ({ type: "log_entry", payload: { message } });

describe("[HTTP-1] publishing", () => {
  it("stores one event, or an array in order, and answers with the eventIds that readers see", async () => {
    await using socket = await connectRaw({ wsUrl: broker.wsUrl, apiKey: TEST_KEY });
    socket.send({ type: "subscribe", channel: "agent:build" });
    await socket.nextOf("caught_up");
    const one = await post("agent:build", log("1"));
    const many = await post("agent%3Abuild", [
      log("2"),
      { ...log("3"), timestamp: "2026-01-02T03:04:05Z" },
      { type: "own.type", payload: null },
    ]);
    expect([one.status, many.status]).toEqual([201, 201]);
    const events = await socket.events("agent:build", 4);
    expect(events.map((event) => event.eventId)).toEqual([...(one.body.eventIds ?? []), ...(many.body.eventIds ?? [])]);
    expect(events.map((event) => event.payload)).toEqual([{ message: "1" }, { message: "2" }, { message: "3" }, null]);
    expect(events[2]?.timestamp).toBe("2026-01-02T03:04:05Z");
  });

  it.each(["constructor", "to_string", "hasownproperty", "__proto__"])(
    "a type named like what every object has is a type like any other (%s)",
    async (type) => {
      const { status } = await post("agent:odd", { type, payload: {} });
      expect(status).toBe(type.startsWith("_") ? 400 : 201);
    },
  );

  it("takes a bearer as well", async () => {
    expect(await post("team:demo", log("1"), { authorization: `Bearer ${TEST_KEY}` })).toMatchObject({ status: 201 });
  });

  it("[HTTP-3] stores an idempotency key once and answers with the same eventId", async () => {
    const event = { ...log("once"), idempotencyKey: "build-17" };
    const first = await post("agent:idem", event);
    const second = await post("agent:idem", event);
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.body.eventIds).toEqual(first.body.eventIds);
  });

  it.each([
    ["no JSON", "{", "invalid_json", 400],
    ["no UTF-8", Uint8Array.from([0x22, 0xff, 0x22]), "invalid_json", 400],
    ["no event", 1, "invalid_event", 400],
    ["an empty array", [], "invalid_event", 400],
    ["too many events", Array.from({ length: 1_001 }, () => log("")), "invalid_event", 400],
    ["a control type", { type: "subscribed", payload: {} }, "invalid_event", 400],
    ["no payload", { type: "own" }, "invalid_event", 400],
    ["a payload of the wrong shape", { type: "log_entry", payload: { text: "x" } }, "invalid_event", 400],
    ["an unknown key", { ...log("x"), chanel: "x" }, "invalid_event", 400],
    ["a bad timestamp", { ...log("x"), timestamp: "now" }, "invalid_event", 400],
    [
      "a payload that nests without end",
      `{"type":"own","payload":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
      "invalid_event",
      400,
    ],
    ["an event over its limit", log("x".repeat(530_000)), "invalid_event", 400],
    ["a body over its limit", log("x".repeat(1_100_000)), "too_large", 413],
  ])("[EVENT-2] [EVENT-4] [EVENT-5] refuses %s", async (_what, body, code, status) => {
    const answer = await post("team:demo", body);
    expect(answer).toMatchObject({ status, body: { error: { code, retryable: false } } });
    expect(answer.body.error?.message).not.toContain("\n");
  });

  it("names the event of an array that is wrong, and stores none of them", async () => {
    const answer = await post("agent:none", [log("fine"), { type: "log_entry", payload: {} }]);
    expect(answer.body.error?.message).toMatch(/^event 1: payload of log_entry: message/);
    await using socket = await connectRaw({ wsUrl: broker.wsUrl, apiKey: TEST_KEY });
    socket.send({ type: "subscribe", channel: "agent:none", rewind: "all" });
    await socket.nextOf("caught_up");
    expect(socket.messages.map((message) => message.type)).toEqual(["subscribed", "caught_up"]);
  });

  it("lets in who belongs, nobody else", async () => {
    expect(await post("team:demo", log(""), {})).toMatchObject({
      status: 401,
      body: { error: { code: "unauthenticated" } },
    });
    expect(await post("team:demo", log(""), { "x-api-key": "wrong" })).toMatchObject({ status: 401 });
    expect(await post("team:other", log(""))).toMatchObject({ status: 403, body: { error: { code: "forbidden" } } });
    expect(await post("spec:s", log(""))).toMatchObject({ status: 403 });
    expect(await post("user:s", log(""))).toMatchObject({ status: 400, body: { error: { code: "invalid_channel" } } });
    expect(await post("team:%E0%A4%A", log(""))).toMatchObject({ status: 400 });
    expect(await post("agent:throws", log(""))).toMatchObject({
      status: 503,
      body: { error: { code: "unavailable", retryable: true } },
    });
  });

  it.each(["POST /v1/channels/team:demo/events", "POST /v1/channels/team:demo/events ndjson"])(
    "answers an empty body whose head comes in pieces: %s",
    async (wish) => {
      const [method, path, isStream] = wish.split(" ");
      const type = isStream === undefined ? "json" : "x-ndjson";
      const socket = connectTcp(broker.port, "127.0.0.1");
      const answer = once(socket, "data");
      await new Promise<void>((resolve) =>
        socket.write(`${method} ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${TEST_KEY}\r\n`, () => resolve()),
      );
      // Other requests are answered meanwhile: what was written is read by now.
      for (let i = 0; i < 3; i++) await fetch(`${broker.httpUrl}/healthz`);
      socket.write(`content-type: application/${type}\r\ncontent-length: 0\r\n\r\n`);
      expect(String(await answer)).toMatch(/^HTTP\/1\.1 400 /);
      socket.destroy();
    },
  );

  it("survives clients that go away in the middle of a body", async () => {
    for (let i = 0; i < 20; i++) {
      await new Promise<void>((resolve) => {
        const socket = connectTcp(broker.port, "127.0.0.1", () => {
          socket.write(
            `POST /v1/channels/team:demo/events HTTP/1.1\r\nhost: x\r\nx-api-key: ${TEST_KEY}\r\ncontent-length: 1000\r\n\r\n{"type"`,
            () => socket.destroy(),
          );
        });
        socket.on("close", () => resolve());
      });
    }
    expect(await post("team:demo", log("still there"))).toMatchObject({ status: 201 });
  });
});

describe("[HTTP-2] other answers", () => {
  it("a path that is none, and a method that is not served", async () => {
    const unknown = await fetch(`${broker.httpUrl}/nope`);
    expect([unknown.status, await unknown.json()]).toMatchObject([404, { error: { code: "not_found" } }]);
    const method = await fetch(`${broker.httpUrl}/v1/channels/team:demo/events`, { method: "DELETE" });
    expect([method.status, method.headers.get("allow"), await method.json()]).toMatchObject([
      405,
      "GET, POST",
      { error: { code: "method_not_allowed" } },
    ]);
  });
});

describe("a HEAD", () => {
  it.each([
    ["/healthz", 200],
    ["/nope", 404],
    ["/v1/channels/team:demo/events", 405],
    ["/ws", 400],
  ])("of %s is answered without a body: the connection stays in step", async (path, status) => {
    const socket = connectTcp(broker.port, "127.0.0.1");
    socket.write(`HEAD ${path} HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n`);
    let text = "";
    for await (const chunk of socket) {
      text += chunk.toString("utf8");
      if (text.includes('{"status":"ok"}')) break;
    }
    const [first = "", second = ""] = text.split("\r\n\r\n");
    expect(first).toContain(`HTTP/1.1 ${status} `);
    expect(second.startsWith("HTTP/1.1 200 OK")).toBe(true);
  });
});

describe("[HTTP-4] health", () => {
  it("healthz while the process serves, readyz while the log can be read; publishing says 503 and retryable", async () => {
    const status = async (path: string) => (await fetch(broker.httpUrl + path)).status;
    expect([await status("/healthz"), await status("/readyz")]).toEqual([200, 200]);
    await nats.kill();
    expect([await status("/healthz"), await status("/readyz")]).toEqual([200, 503]);
    expect(await post("team:demo", log("away"))).toMatchObject({
      status: 503,
      body: { error: { code: "unavailable", retryable: true } },
    });
    await nats.start();
    await expect.poll(() => status("/readyz"), { timeout: 10_000 }).toBe(200);
    expect((await post("team:demo", log("back"))).status).toBe(201);
  });
});
