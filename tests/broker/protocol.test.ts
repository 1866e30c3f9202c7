import { createPublisher, type Publisher } from "@kata/publisher";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBroker, TEST_KEY, type TestBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { connectRaw, eventsOf, RefusedUpgrade } from "../support/raw-client.ts";

let nats: TestNats;
let broker: TestBroker;
let publisher: Publisher;
let nc: NatsConnection;

beforeAll(async () => {
  nats = await startNats();
  broker = await startBroker({
    nats,
    config: { maxSubscriptionsPerConnection: 3, maxErrorsPerMinute: 20 },
    access: {
      resolveSpecTeamId: async (id) =>
        id.startsWith("foreign") ? "other" : id.startsWith("nobody") ? undefined : "demo",
      resolveAgentTeamId: async (id) => {
        if (id === "throws") throw new Error("the directory is away");
        return "demo";
      },
    },
  });
  publisher = await createPublisher({ servers: nats.url, teamId: "demo" });
  nc = await connectNats(nats.url);
});

afterAll(async () => {
  await publisher?.close();
  await nc?.close();
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

const client = (options: { protocols?: string[]; strict?: boolean } = {}) =>
  connectRaw({ wsUrl: broker.wsUrl, apiKey: TEST_KEY, ...options });
const log = (message: string) => ({ type: "log_entry", payload: { message } }) as const;

describe("connection", () => {
  it.each([
    ["X-API-Key", { headers: { "x-api-key": TEST_KEY } }],
    ["Authorization", { headers: { authorization: `Bearer ${TEST_KEY}` } }],
    ["a subprotocol", { protocols: ["kata.v1", `bearer.${TEST_KEY}`] }],
  ])("[CONNECT-2] takes a key in %s", async (_where, options) => {
    await using socket = await connectRaw({ wsUrl: broker.wsUrl, ...options });
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
  });

  it("[CONNECT-2] takes none in the URL", async () => {
    for (const query of [`?apiKey=${TEST_KEY}`, `?token=${TEST_KEY}`, `?access_token=${TEST_KEY}`]) {
      await expect(connectRaw({ wsUrl: broker.wsUrl + query })).rejects.toMatchObject({ status: 401 });
    }
  });

  it("[CONNECT-3] answers with the first subprotocol that it speaks, never with the bearer", async () => {
    for (const [offered, chosen] of [
      [["kata.v1"], "kata.v1"],
      [["kata.v1.ndjson", "kata.v1", `bearer.${TEST_KEY}`], "kata.v1.ndjson"],
      [[`bearer.${TEST_KEY}`, "kata.v1"], "kata.v1"],
    ] as const) {
      await using socket = await client({ protocols: [...offered] });
      expect(socket.socket.protocol).toBe(chosen);
    }
  });

  it("[CONNECT-1] [CONNECT-4] refuses a connection without credentials, or with wrong ones, in one clear answer", async () => {
    for (const options of [{}, { apiKey: "kat_live_dev_wrong" }, { headers: { authorization: "Bearer x" } }]) {
      const refused = await connectRaw({ wsUrl: broker.wsUrl, ...options }).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(RefusedUpgrade);
      expect(refused).toMatchObject({ status: 401, body: { error: { code: "unauthenticated", retryable: false } } });
    }
  });

  it("[CONNECT-4] tells a client that offers kata.v1 by error and close code", async () => {
    await using socket = await connectRaw({ wsUrl: broker.wsUrl, protocols: ["kata.v1", "bearer.wrong"] });
    expect((await socket.nextOf("error")).payload).toMatchObject({ code: "unauthenticated", retryable: false });
    expect(await socket.closed).toMatchObject({ code: 4501 });
  });

  it("[CONNECT-5] refuses when authentication cannot answer: 503, or 4450", async () => {
    const down = async () => Promise.reject(new Error("secret connection string"));
    await using closed = await startBroker({ nats, apiKeys: { verifyKey: down } });
    const refused = await connectRaw({ wsUrl: closed.wsUrl, apiKey: TEST_KEY }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ status: 503, body: { error: { code: "unavailable", retryable: true } } });
    expect(JSON.stringify((refused as RefusedUpgrade).body)).not.toContain("secret");
    await using socket = await connectRaw({ wsUrl: closed.wsUrl, apiKey: TEST_KEY, protocols: ["kata.v1"] });
    expect((await socket.nextOf("error")).payload.code).toBe("unavailable");
    expect(await socket.closed).toMatchObject({ code: 4450 });
  });

  it("a plain request to /ws is answered", async () => {
    const response = await fetch(`${broker.httpUrl}/ws`);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: "bad_request" } });
  });
});

describe("commands", () => {
  it("[COMMAND-3] [COMMAND-4] [ERROR-1] bad JSON, unknown commands, malformed ones and binary frames are answered, and cost nothing else", async () => {
    await using socket = await client();
    socket.send({ type: "subscribe", channel: "agent:commands" });
    await socket.nextOf("caught_up");
    for (const [text, code] of [
      ["{", "invalid_json"],
      ["", "invalid_json"],
      ["null", "invalid_command"],
      ["[]", "invalid_command"],
      ['{"type":"nope","id":3}', "invalid_command"],
      ['{"type":"subscribe"}', "invalid_command"],
      ['{"type":"subscribe","channel":"team:demo","lasteventid":"x"}', "invalid_command"],
    ] as const) {
      socket.sendText(text);
      const { payload } = await socket.nextOf("error");
      expect(payload).toMatchObject({ code, retryable: false });
      expect(payload.message).not.toContain("\n");
      if (text.includes('"id":3')) expect(payload.id).toBe(3);
    }
    socket.socket.send(Buffer.from('{"type":"ping"}'), { binary: true });
    expect((await socket.nextOf("error")).payload.code).toBe("binary_frame");
    await publisher.publish("agent:commands", log("still there"));
    expect(await socket.events("agent:commands", 1)).toHaveLength(1);
  });

  it("[COMMAND-4] a frame over the limit is answered, one far over it closes", async () => {
    await using socket = await client();
    socket.sendText(JSON.stringify({ type: "ping", id: "x".repeat(20_000) }));
    expect((await socket.nextOf("error")).payload.code).toBe("too_large");
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
    socket.sendText("x".repeat(300_000));
    const { code } = await socket.closed;
    expect([1006, 1009]).toContain(code);
  });

  it("[COMMAND-2] [UNSUBSCRIBE-2] every reply carries the id of its command", async () => {
    await using socket = await client();
    socket.send({ type: "subscribe", channel: "agent:ids", id: 1 });
    expect((await socket.nextOf("subscribed")).payload.id).toBe(1);
    socket.send({ type: "unsubscribe", channel: "agent:ids", id: "two" });
    expect((await socket.nextOf("unsubscribed")).payload.id).toBe("two");
    socket.send({ type: "unsubscribe", channel: "agent:ids", id: 3 });
    expect((await socket.nextOf("error")).payload).toMatchObject({
      code: "not_subscribed",
      id: 3,
      channel: "agent:ids",
    });
    socket.send({ type: "ping", id: 4 });
    expect((await socket.nextOf("pong")).payload.id).toBe(4);
    socket.send({ type: "auth", token: TEST_KEY, id: 5 });
    expect((await socket.nextOf("authenticated")).payload).toEqual({ teamId: "demo", id: 5 });
  });

  it("[COMMAND-5] too many failed commands close the connection with 4429", async () => {
    await using socket = await client();
    for (let i = 0; i < 21; i++) socket.sendText("{");
    await socket.next((message) => JSON.stringify(message.payload).includes("too_many_errors"));
    expect(await socket.closed).toMatchObject({ code: 4429 });
  });
});

describe("abuse", () => {
  it("a client that asks on and on and reads no answer is sent away, in bounded memory", async () => {
    const closings: string[] = [];
    const logger = { debug: (_: unknown, line: string) => closings.push(line), info() {}, warn() {}, error() {} };
    await using watched = await startBroker({
      nats,
      logger: logger as never,
      // It would be sent away for the number of its questions first.
      config: { maxCommandsPerSecond: 0 },
    });
    await using socket = await connectRaw({ wsUrl: watched.wsUrl, apiKey: TEST_KEY });
    socket.socket.pause();
    const pings = '{"type":"ping"}';
    while (closings.length === 0) {
      for (let i = 0; i < 5_000; i++) socket.sendText(pings);
      // The socket's own buffer empties as the broker reads.
      await expect.poll(() => socket.socket.bufferedAmount, { timeout: 10_000 }).toBeLessThan(1_000_000);
    }
    expect(closings).toEqual([expect.stringContaining("more answers than are read")]);
  });
});

describe("subscribe", () => {
  it("[SUBSCRIBE-1] [SUBSCRIBE-2] [CAUGHTUP-1] says where it starts, then that it is live, then sends what is stored", async () => {
    await publisher.publish("agent:fresh", log("before"));
    await using socket = await client();
    socket.send({ type: "subscribe", channel: "agent:fresh" });
    const subscribed = await socket.nextOf("subscribed");
    expect(subscribed.payload).toEqual({ recovery: "fresh" });
    const caughtUp = await socket.nextOf("caught_up");
    expect(caughtUp.eventId).toBe(subscribed.eventId);
    const { eventId } = await publisher.publish("agent:fresh", log("after"));
    const [event] = await socket.events("agent:fresh", 1);
    expect(event).toMatchObject({ type: "log_entry", eventId, encoding: "json", payload: { message: "after" } });
    expect(socket.messages.map((message) => message.type)).toEqual(["subscribed", "caught_up", "log_entry"]);
  });

  it.each(["", "team", "team:", "user:x", "team:a.b", "team:*", "spec:>", "agent:a b", `agent:${"x".repeat(129)}`])(
    "[SUBSCRIBE-3] %j is no channel",
    async (channel) => {
      await using socket = await client();
      socket.send({ type: "subscribe", channel, id: 1 });
      expect((await socket.nextOf("error")).payload).toMatchObject({ code: "invalid_channel", id: 1 });
    },
  );

  it("[SUBSCRIBE-3] foreign and unknown channels get the same answer", async () => {
    await using socket = await client();
    const answers = [];
    for (const channel of ["team:other", "spec:foreign", "spec:nobody"]) {
      socket.send({ type: "subscribe", channel });
      const { payload } = await socket.nextOf("error");
      expect(payload.channel).toBe(channel);
      answers.push({ ...payload, channel: undefined });
    }
    expect(new Set(answers.map((each) => JSON.stringify(each))).size).toBe(1);
    expect(answers[0]).toMatchObject({ code: "forbidden", retryable: false });
  });

  it("[SUBSCRIBE-4] lastEventId and rewind exclude each other", async () => {
    await using socket = await client();
    socket.send({ type: "subscribe", channel: "team:demo", lastEventId: "a-1-0000", rewind: "all" });
    expect((await socket.nextOf("error")).payload.code).toBe("invalid_command");
  });

  it("[SUBSCRIBE-6] twice, or beyond the limit, is refused; what is refused takes no place", async () => {
    await using socket = await client();
    socket.send({ type: "subscribe", channel: "team:other" });
    await socket.nextOf("error");
    for (const channel of ["team:demo", "agent:a", "agent:b"]) {
      socket.send({ type: "subscribe", channel });
      await socket.nextOf("subscribed");
    }
    socket.send({ type: "subscribe", channel: "agent:a" });
    expect((await socket.nextOf("error")).payload.code).toBe("already_subscribed");
    socket.send({ type: "subscribe", channel: "agent:c" });
    expect((await socket.nextOf("error")).payload).toMatchObject({ code: "subscription_limit", retryable: false });
    socket.send({ type: "unsubscribe", channel: "agent:a" });
    socket.send({ type: "subscribe", channel: "agent:c" });
    await socket.nextOf("subscribed");
  });

  it("[SUBSCRIBE-7] an adapter that throws is an outage, told as retryable", async () => {
    await using socket = await client();
    socket.send({ type: "subscribe", channel: "agent:throws", id: 9 });
    expect((await socket.nextOf("error")).payload).toMatchObject({ code: "unavailable", retryable: true, id: 9 });
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
  });

  it("[UNSUBSCRIBE-1] ends it at a place that a later subscribe goes on from", async () => {
    await using socket = await client();
    socket.send({ type: "subscribe", channel: "agent:leave" });
    await socket.nextOf("caught_up");
    await publisher.publish("agent:leave", log("1"));
    await socket.events("agent:leave", 1);
    socket.send({ type: "unsubscribe", channel: "agent:leave" });
    const { eventId } = await socket.nextOf("unsubscribed");
    await publisher.publish("agent:leave", log("2"));
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
    expect(eventsOf(socket.messages, "agent:leave")).toHaveLength(1);
    socket.send({ type: "subscribe", channel: "agent:leave", lastEventId: eventId });
    await socket.nextOf("caught_up");
    expect(eventsOf(socket.messages, "agent:leave").map((event) => event.payload)).toEqual([
      { message: "1" },
      { message: "2" },
    ]);
  });

  it("[UNSUBSCRIBE-3] an unsubscribe that overtakes its subscribe ends it", async () => {
    await using socket = await client();
    socket.send({ type: "subscribe", channel: "agent:overtaken", id: 1 });
    socket.send({ type: "unsubscribe", channel: "agent:overtaken", id: 2 });
    expect((await socket.nextOf("unsubscribed")).payload.id).toBe(2);
    await publisher.publish("agent:overtaken", log("unseen"));
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
    expect(eventsOf(socket.messages, "agent:overtaken")).toEqual([]);
  });

  it("[SUBSCRIBE-5] rewind starts with the last n events, inside a record too", async () => {
    await publisher.publishMany(
      "agent:rewind",
      Array.from({ length: 50 }, (_, i) => log(`${i}`)),
    );
    for (let i = 50; i < 60; i++) await publisher.publish("agent:rewind", log(`${i}`));
    const cases = [
      [{ count: 0 }, 60],
      [{ count: 1 }, 59],
      [{ count: 10 }, 50],
      [{ count: 25 }, 35],
      [{ count: 60 }, 0],
      [{ count: 1_000 }, 0],
      [{ seconds: 3_600 }, 0],
      ["all", 0],
    ] as const;
    for (const [rewind, first] of cases) {
      await using socket = await client();
      socket.send({ type: "subscribe", channel: "agent:rewind", rewind });
      const subscribed = await socket.nextOf("subscribed");
      expect(subscribed.payload).toEqual({ recovery: "fresh" });
      await socket.nextOf("caught_up");
      const seen = eventsOf(socket.messages, "agent:rewind").map(
        (event) => (event.payload as { message: string }).message,
      );
      expect(seen).toEqual(Array.from({ length: 60 - first }, (_, i) => `${first + i}`));
      // The named position is where it starts: resuming there gives the same events.
      socket.send({ type: "unsubscribe", channel: "agent:rewind" });
      socket.send({ type: "subscribe", channel: "agent:rewind", lastEventId: subscribed.eventId });
      expect((await socket.nextOf("subscribed")).payload.recovery).toBe("complete");
      await socket.nextOf("caught_up");
      expect(eventsOf(socket.messages, "agent:rewind")).toHaveLength(2 * (60 - first));
    }
  });
});

describe("frames and records", () => {
  it("[CONNECT-3] [ORDER-1] kata.v1.ndjson gives the same events as one envelope a frame", async () => {
    await using single = await client({ protocols: ["kata.v1"] });
    await using lines = await client({ protocols: ["kata.v1.ndjson"] });
    for (const socket of [single, lines]) {
      socket.send({ type: "subscribe", channel: "agent:frames" });
      await socket.nextOf("caught_up");
    }
    await publisher.publishMany(
      "agent:frames",
      Array.from({ length: 500 }, (_, i) => log(`line\n${i}`)),
    );
    const [a, b] = await Promise.all([single.events("agent:frames", 500), lines.events("agent:frames", 500)]);
    expect(a).toEqual(b);
    expect(single.frames).toHaveLength(502);
    expect(lines.frames.length).toBeLessThan(50);
  });

  it("[EVENT-3] a record that is no event stops nobody; a stranger's event is delivered", async () => {
    await using socket = await client();
    socket.send({ type: "subscribe", channel: "agent:stranger" });
    await socket.nextOf("caught_up");
    const publish = (text: string) => nc.publish("kata.team.demo.agent.stranger", text);
    publish("hello");
    publish("");
    publish('{"type":"log_entry"}');
    publish(
      '{"type":"deploy","timestamp":"2026-11-23T10:00:00Z","encoding":"json","payload":{"n":1},"channel":"team:forged","eventId":"forged"}',
    );
    const [event] = await socket.events("agent:stranger", 1);
    expect(event).toMatchObject({ type: "deploy", channel: "agent:stranger", payload: { n: 1 } });
    expect(event?.eventId).not.toBe("forged");
    socket.send({ type: "unsubscribe", channel: "agent:stranger" });
    socket.send({ type: "subscribe", channel: "agent:stranger", lastEventId: event?.eventId });
    expect((await socket.nextOf("subscribed")).payload.recovery).toBe("complete");
  });

  it("[EVENT-3] a stranger cannot speak with the server's headers", async () => {
    await using socket = await client();
    socket.send({ type: "subscribe", channel: "agent:headers" });
    await socket.nextOf("caught_up");
    const { headers } = await import("@nats-io/transport-node");
    const forged = headers();
    for (const [name, value] of [
      ["Nats-Sequence", "1"],
      ["Nats-Last-Sequence", "999999"],
      ["Nats-Subject", "kata.team.other"],
    ] as const)
      forged.append(name, value);
    for (let i = 0; i < 3; i++) {
      nc.publish(
        "kata.team.demo.agent.headers",
        JSON.stringify({ type: "a", timestamp: "t", encoding: "json", payload: i }),
        { headers: forged },
      );
    }
    const events = await socket.events("agent:headers", 3);
    expect(events.map((event) => event.payload)).toEqual([0, 1, 2]);
    expect(new Set(events.map((event) => event.eventId)).size).toBe(3);
  });
});

describe("envelopes", () => {
  it("[ENVELOPE-2] [ENVELOPE-3] [ENVELOPE-4] have a time, an encoding and a place, or the place that is none", async () => {
    await using socket = await client();
    socket.send({ type: "subscribe", channel: "agent:envelopes" });
    await socket.nextOf("caught_up");
    socket.send({ type: "auth", token: TEST_KEY });
    socket.send({ type: "nope" });
    const { eventId } = await publisher.publish("agent:envelopes", {
      ...log("x"),
      timestamp: "2020-01-02T03:04:05.678Z",
    });
    await socket.events("agent:envelopes", 1);
    socket.send({ type: "unsubscribe", channel: "agent:envelopes" });
    await socket.nextOf("unsubscribed");
    const byType = new Map(socket.messages.map((message) => [message.type as string, message]));
    for (const message of byType.values()) {
      expect(message.encoding).toBe("json");
      expect(message.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }
    expect(byType.get("log_entry")).toMatchObject({ timestamp: "2020-01-02T03:04:05.678Z", eventId });
    expect(byType.get("unsubscribed")?.eventId).toBe(eventId);
    for (const type of ["authenticated", "error"]) expect(byType.get(type)?.eventId).toBe("0-0-0000");
  });

  it("[EVENT-1] [EVENT-4] a stored payload is delivered as it is, whatever its shape", async () => {
    await using socket = await client({ strict: false });
    socket.send({ type: "subscribe", channel: "agent:shapes" });
    await socket.nextOf("caught_up");
    const stored = { type: "log_entry", timestamp: "t", encoding: "json", payload: ["not", "a", "log", "entry"] };
    nc.publish("kata.team.demo.agent.shapes", JSON.stringify(stored));
    expect(await socket.events("agent:shapes", 1)).toMatchObject([stored]);
  });
});

describe("heartbeat and closing", () => {
  it("[HEARTBEAT-1] pings, and leaves alone who answers", async () => {
    await using quick = await startBroker({ nats, config: { heartbeatIntervalMs: 30, heartbeatTimeoutMs: 120 } });
    await using socket = await connectRaw({ wsUrl: quick.wsUrl, apiKey: TEST_KEY });
    let pings = 0;
    await new Promise<void>((resolve) => {
      socket.socket.on("ping", () => {
        pings++;
        if (pings === 8) resolve();
      });
    });
    expect(socket.socket.readyState).toBe(socket.socket.OPEN);
  });

  it("[HEARTBEAT-2] closes a connection of which nothing is heard, with 4408 and a reason that says heartbeat", async () => {
    await using quick = await startBroker({ nats, config: { heartbeatIntervalMs: 50, heartbeatTimeoutMs: 200 } });
    await using socket = await connectRaw({ wsUrl: quick.wsUrl, apiKey: TEST_KEY });
    socket.socket.pong = () => undefined;
    // ws answers pings by itself; a peer that is gone does not.
    (socket.socket as unknown as { _autoPong: boolean })._autoPong = false;
    const { code, reason } = await socket.closed;
    expect(code).toBe(4408);
    expect(reason).toContain("heartbeat");
  });

  it("[CLOSE-3] a broker that stops tells everybody when to come back, then closes with 4412", async () => {
    const stopping = await startBroker({ nats });
    const sockets = await Promise.all(
      Array.from({ length: 5 }, () => connectRaw({ wsUrl: stopping.wsUrl, apiKey: TEST_KEY })),
    );
    await stopping.close();
    const slots = [];
    for (const socket of sockets) {
      slots.push((await socket.nextOf("reconnect")).payload.afterMs);
      expect(await socket.closed).toMatchObject({ code: 4412 });
    }
    expect(new Set(slots).size).toBe(5);
  });

  it("[AUTH-1] [AUTH-2] new credentials are taken only of the same principal", async () => {
    await using socket = await client();
    socket.send({ type: "auth", token: "wrong", id: 1 });
    expect((await socket.nextOf("error")).payload).toMatchObject({ code: "unauthenticated", id: 1 });
    socket.send({ type: "subscribe", channel: "team:demo" });
    await socket.nextOf("subscribed");
  });
});
