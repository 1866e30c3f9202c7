import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { text as textOf } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { connectRaw } from "../support/raw-client.ts";
import { WAYS } from "./matrix-entrances.ts";
import { type Kept, type MatrixBroker, openBroker, PATIENCE, startKept } from "./matrix-rig.ts";

// What is another team's and what is not there: whoever asks sees no difference, whatever he asks with.

const HOUR = 3_600_000;

let kept: Kept;
let broker: MatrixBroker;
/** Of t2: everything that a team can have. */
let apiKey: string;
let sessionId: string;
/** Of t1. */
let foreignKeyId: string;
let foreignSession: string;

beforeAll(async () => {
  kept = await startKept();
  broker = await openBroker(kept, {});
  for (const subject of ["kata.team.t1", "kata.team.t1.spec.s1", "kata.team.t1.agent.a1"]) await kept.seed(subject);
  for (const channel of ["spec:s1", "agent:a1"]) await kept.channels.register("t1", channel);
  const make = (teamId: string) => kept.keys.create({ teamId, scopes: ["subscribe", "publish", "admin"] });
  foreignKeyId = (await make("t1")).keyId;
  foreignSession = await kept.sessions.create({ userId: "ann", teamId: "t1", expiresAt: Date.now() + HOUR });
  sessionId = await kept.sessions.create({ userId: "bob", teamId: "t2", expiresAt: Date.now() + HOUR });
  apiKey = (await make("t2")).key;
  await vi.waitFor(async () => {
    const own = await answerTo("POST", "/v1/channels/team:t2/events", { "x-api-key": apiKey }, EVENT);
    expect(own).toMatch(/^201 /);
  }, PATIENCE);
});
afterAll(async () => {
  await broker?.close();
  await kept?.[Symbol.asyncDispose]();
});

const EVENT = '{"type":"log_entry","payload":{"message":"m"}}';

/** The whole answer, as it came: its status, its headers in their order, its body; of the time alone nothing. */
async function answerTo(method: string, path: string, headers: Record<string, string>, body = ""): Promise<string> {
  const asked = httpRequest(broker.httpUrl + path, { method, headers, agent: false });
  asked.end(body);
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  const { statusCode, statusMessage, rawHeaders } = response;
  const fields = rawHeaders.map((each, at) => (/^date$/i.test(rawHeaders[at - 1] ?? "") ? "(now)" : each));
  return [`${statusCode} ${statusMessage}`, ...fields, await textOf(response)].join("\n");
}

/** What comes over a WebSocket, frame by frame; of the time, and of what was asked for, nothing. */
async function framesFor(commands: readonly object[], channel: string, headers: Record<string, string>) {
  await using socket = await connectRaw({ wsUrl: broker.wsUrl, headers });
  for (const command of commands) {
    socket.send({ ...command, channel });
    await socket.next(() => true);
  }
  socket.send({ type: "ping" });
  await socket.nextOf("pong");
  return socket.frames.map((frame) => frame.replace(/"timestamp":"[^"]*"/, "").replaceAll(channel, "(asked for)"));
}

const FOREIGN = ["team:t1", "spec:s1", "agent:a1"] as const;
const NOBODYS = ["team:nobody", "spec:nobody", "agent:nobody"] as const;

const presented = (): [string, Record<string, string>][] => [
  ["an API key", { ...WAYS["X-API-Key"](apiKey).headers }],
  ["a session", { ...WAYS.bearer(sessionId).headers }],
  ["a session cookie", { ...WAYS["cookie of a listed origin"](sessionId).headers }],
];

describe("[SUBSCRIBE-3] another team's channel and one that is not there answer alike", () => {
  it.each([
    ["POST", "events", EVENT],
    ["POST", "events", "no JSON"],
    ["GET", "events", ""],
    ["GET", "events?after=0-0-0000&limit=1", ""],
    ["GET", "events?unknown=1", ""],
    ["GET", "stream", ""],
    ["GET", "stream?rewind=all", ""],
    ["GET", "stream?rewind=nonsense", ""],
  ])("%s …/%s %s", async (method, path, body) => {
    for (const [who, headers] of presented()) {
      const answers = await Promise.all(
        [...FOREIGN, ...NOBODYS].map((channel) => answerTo(method, `/v1/channels/${channel}/${path}`, headers, body)),
      );
      expect(answers[0], who).toMatch(/^403 Forbidden\n(.*\n)*\{"error":\{"code":"forbidden"/);
      expect(new Set(answers), who).toEqual(new Set([answers[0]]));
    }
  });

  it.each([
    ["subscribe", [{ type: "subscribe", id: 7 }]],
    ["from the start", [{ type: "subscribe", rewind: "all" }]],
    ["after an event", [{ type: "subscribe", lastEventId: "abc-1-0000" }]],
    ["twice", [{ type: "subscribe" }, { type: "subscribe" }]],
    ["and unsubscribe", [{ type: "subscribe" }, { type: "unsubscribe" }]],
  ])("over a WebSocket: %s", async (_, commands) => {
    for (const [who, headers] of presented()) {
      const seen = await Promise.all([...FOREIGN, ...NOBODYS].map((channel) => framesFor(commands, channel, headers)));
      expect(seen[0]?.join(), who).not.toMatch(/"(subscribed|caught_up|unsubscribed)"/);
      for (const frames of seen) expect(frames, who).toEqual(seen[0]);
    }
  });
});

describe("what is administered is another team's, or not there: nobody can tell", () => {
  it("[KEYS-3] [KEYS-4] a key", async () => {
    const headers = { "x-api-key": apiKey };
    for (const [method, path] of [
      ["DELETE", ""],
      ["POST", "/rotate"],
    ] as const) {
      const foreign = await answerTo(method, `/v1/keys/${foreignKeyId}${path}`, headers);
      expect(foreign).toMatch(/^404 Not Found\n/);
      expect(await answerTo(method, `/v1/keys/0123456789abcdef${path}`, headers)).toBe(foreign);
    }
  });

  it("a session", async () => {
    const headers = { "x-api-key": apiKey };
    const foreign = await answerTo("DELETE", `/v1/sessions/${foreignSession}`, headers);
    expect(foreign).toMatch(/^404 Not Found\n/);
    expect(await answerTo("DELETE", `/v1/sessions/kss_${"0".repeat(43)}`, headers)).toBe(foreign);
  });

  it("[CHANNELS-3] a channel", async () => {
    const headers = { "x-api-key": apiKey };
    const foreign = await answerTo("DELETE", "/v1/channels/spec:s1", headers);
    expect(foreign).toMatch(/^404 Not Found\n/);
    expect(await answerTo("DELETE", "/v1/channels/spec:nobody", headers)).toBe(foreign);
  });

  it("and t1 still has it all", async () => {
    expect(kept.keys.list("t1").map(({ keyId }) => keyId)).toContain(foreignKeyId);
    expect(await kept.sessions.verifySession(foreignSession)).toMatchObject({ userId: "ann" });
    expect(kept.channels.list("t1")).toEqual(["agent:a1", "spec:s1"]);
  });
});
