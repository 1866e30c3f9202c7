import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import type { BrokerConfig, ChannelAccess } from "@kata/broker";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createApiClient } from "../auth/api-client.ts";
import { type InProcessBroker, startBroker, TEST_KEY } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { historyOf, lineOf, log, numberedLines, openStream, postLines } from "./http-publishing.ts";

const LONG = process.env.KATA_TEST_LONG === "1";
const MANY = LONG ? 1_000_000 : 100_000;
const THEN = "2026-01-01T00:00:00Z";

let nats: TestNats;
let broker: InProcessBroker;

beforeEach(async () => {
  nats = await startNats();
  broker = await startBroker({ nats, keptInNats: true });
});

afterEach(async () => {
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

async function restart(config: Partial<BrokerConfig>): Promise<void> {
  await broker.close();
  broker = await startBroker({ nats, keptInNats: true, config });
}

/** What the broker's streams hold, the largest of them, and what one may hold. */
async function held(): Promise<{ bytes: number; limit: number }> {
  const metrics = await broker.metrics();
  const of = (name: string) => Number(new RegExp(`${name}\\{of="publish_stream"\\} (\\d+)`).exec(metrics)?.[1]);
  return { bytes: of("kata_memory_bytes"), limit: of("kata_memory_limit_bytes") };
}

const streams = async () =>
  Number(/kata_connections\{transport="publish_stream"\} (\d+)/.exec(await broker.metrics())?.[1]);

/** Lines that are written to a stream as fast as it takes them. */
interface Writing {
  readonly done: Promise<void>;
  /** The most that the broker held of its streams meanwhile, bytes. */
  readonly mostHeld: number;
  /** Resolves when nothing has been taken for so long, milliseconds, though there is more. */
  stuck(forMs: number): Promise<void>;
}

/** Writes so many numbered lines, and ends the stream. */
function write(stream: Awaited<ReturnType<typeof openStream>>, lines: number): Writing {
  let sent = 0;
  let mostHeld = 0;
  const writing = async () => {
    for await (const piece of numberedLines(lines, 1_000)) {
      await stream.write(piece.toString());
      sent++;
      mostHeld = Math.max(mostHeld, (await held()).bytes);
    }
    stream.end();
  };
  return {
    done: writing(),
    get mostHeld() {
      return mostHeld;
    },
    stuck: async (forMs) => {
      let before = -1;
      const still = () => {
        const same = sent === before && sent > 0;
        before = sent;
        return same;
      };
      await expect.poll(still, { interval: forMs, timeout: 60_000 }).toBe(true);
      expect(sent).toBeLessThan(lines / 1_000);
    },
  };
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i));

describe("[HTTP-8] a stream of events", () => {
  it(`of ${MANY} lines is in the log in order, each once, and holds no more than it may`, {
    timeout: LONG ? 600_000 : 120_000,
  }, async () => {
    let most = 0;
    const { limit } = await held();
    async function* watched() {
      for await (const piece of numberedLines(MANY, 5_000)) {
        most = Math.max(most, (await held()).bytes);
        yield piece;
      }
    }
    const { status, body } = await postLines(broker, "agent:long", watched());
    expect([status, body]).toMatchObject([201, { published: MANY, duplicates: 0, failed: 0, errors: [] }]);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(limit);
    const stored = await historyOf(broker, "agent:long");
    expect(stored.length).toBe(MANY);
    expect(stored.findIndex((message, i) => message !== String(i))).toBe(-1);
    // Many events travel in a record.
    const sequence = (id = "") => Number(id.split("-")[1]);
    expect(sequence(body.last) - sequence(body.first)).toBeLessThan(MANY / 50);
  });

  it("is published line by line while it comes, with an answer when it ends", async () => {
    using stream = await openStream(broker, "agent:drip");
    for (const [i, message] of ["a", "b", "c"].entries()) {
      await stream.write(lineOf(log(message)));
      await expect.poll(async () => (await historyOf(broker, "agent:drip")).length).toBe(i + 1);
    }
    await stream.write(JSON.stringify(log("no line feed")));
    stream.end();
    await expect.poll(() => stream.received).toMatch(/^HTTP\/1\.1 201 Created.*"published":4,/s);
    expect(await historyOf(broker, "agent:drip")).toEqual(["a", "b", "c", "no line feed"]);
  });

  it("goes on behind lines that are wrong, which are told by their places; empty lines do not count", async () => {
    const good = (n: number) => lineOf(log(String(n)));
    const body = [
      good(0),
      "\n",
      "{\n",
      "  \r\n",
      good(1),
      lineOf({ type: "log_entry", payload: {} }),
      lineOf(log("x".repeat(600_000))),
      `${JSON.stringify(log("2"))}\r\n`,
      lineOf({ ...log("own"), idempotencyKey: "own" }),
      lineOf({ ...log("own"), idempotencyKey: "own" }),
    ].join("");
    const answer = await postLines(broker, "agent:wrong", body);
    expect(answer).toMatchObject({ status: 207, body: { published: 5, duplicates: 1, failed: 3 } });
    expect(answer.body.errors.map(({ index, code, retryable }) => [index, code, retryable])).toEqual([
      [1, "invalid_json", false],
      [3, "invalid_event", false],
      [4, "too_large", false],
    ]);
    expect(await historyOf(broker, "agent:wrong")).toEqual(["0", "1", "2", "own"]);
  });

  it("of which nothing is stored has the status of the one reason", async () => {
    expect(await postLines(broker, "agent:none", "{\n[\n")).toMatchObject({
      status: 400,
      body: { published: 0, failed: 2, error: { code: "invalid_json" } },
    });
    expect(await postLines(broker, "agent:none", "\n\n")).toMatchObject({
      status: 400,
      body: { published: 0, failed: 0, error: { code: "invalid_event" } },
    });
    expect(await postLines(broker, "team:other", lineOf(log("x")))).toMatchObject({
      status: 403,
      body: { error: { code: "forbidden" } },
    });
    const mixed = await postLines(broker, "agent:none", '{\n{"type":"own"}\n');
    expect(mixed).toMatchObject({ status: 207, body: { published: 0, failed: 2 } });
    expect(await historyOf(broker, "agent:none")).toEqual([]);
  });

  it("that is cut off in the middle of a line leaves the lines that were whole", async () => {
    const stream = await openStream(broker, "agent:cut");
    await stream.write(lineOf(log("a")) + lineOf(log("b")) + JSON.stringify(log("c")));
    await expect.poll(() => historyOf(broker, "agent:cut")).toEqual(["a", "b"]);
    stream.socket.destroy();
    await expect.poll(streams).toBe(0);
    expect(await historyOf(broker, "agent:cut")).toEqual(["a", "b"]);
  });

  it("outlasts what uWebSockets.js gives a slow request, and ends when it is silent for too long", {
    timeout: 60_000,
  }, async () => {
    await restart({ streamIdleTimeoutMs: 15_000 });
    using stream = await openStream(broker, "agent:slow");
    await stream.write(lineOf(log("a")));
    await expect.poll(() => historyOf(broker, "agent:slow")).toEqual(["a"]);
    // The HTTP layer's ten seconds are long over when this comes.
    await expect.poll(() => stream.received, { timeout: 40_000, interval: 100 }).toMatch(/^HTTP\/1\.1 503 .*\r\n\r\n/s);
    expect(stream.received).toMatch(
      /"error":\{"code":"unavailable","message":"nothing came for 15000 ms.*"published":1,.*"next":1/,
    );
  });

  it("is not read while the log takes nothing, and goes on when it does", { timeout: 60_000 }, async () => {
    await restart({ publishTimeoutMs: 60_000 });
    const all = LONG ? 400_000 : 100_000;
    const { limit } = await held();
    using first = await openStream(broker, "agent:away");
    await first.write(lineOf(log("before")));
    await expect.poll(() => historyOf(broker, "agent:away")).toEqual(["before"]);
    nats.suspend();
    const writing = write(first, all);
    // A batch is on its way, one is full, and what was read stays where it is.
    await writing.stuck(500);
    nats.resume();
    await writing.done;
    await expect.poll(() => first.received, { timeout: 40_000 }).toContain(`"published":${all + 1},`);
    expect(writing.mostHeld).toBeLessThanOrEqual(limit);
    const stored = await historyOf(broker, "agent:away");
    expect(stored).toEqual(["before", ...numbers(all)]);
  });

  it("ends with the first batch that the log did not take in time, and says where to go on", async () => {
    await restart({ publishTimeoutMs: 1_000, natsTimeoutMs: 1_000 });
    using stream = await openStream(broker, "agent:gone");
    await stream.write(lineOf(log("a")));
    await expect.poll(() => historyOf(broker, "agent:gone")).toEqual(["a"]);
    nats.suspend();
    await stream.write(lineOf(log("b")));
    await expect.poll(streams, { timeout: 20_000 }).toBe(0);
    await stream.write(lineOf(log("c")));
    stream.end();
    await expect.poll(() => stream.received, { timeout: 20_000 }).toMatch(/^HTTP\/1\.1 503 /);
    expect(stream.received).toMatch(/"error":\{"code":"unavailable".*"published":1,.*"next":1/s);
    nats.resume();
    await expect.poll(async () => (await fetch(`${broker.httpUrl}/readyz`)).status, { timeout: 20_000 }).toBe(200);
    // Whether the second is stored nobody can say; the third, behind it, is not.
    expect(await historyOf(broker, "agent:gone")).not.toContain("c");
  });

  it("[AUTH-3] ends with its credentials, and says what was published", async () => {
    const admin = createApiClient(broker.httpUrl, TEST_KEY);
    const { key, keyId } = (await admin.post("/v1/keys", { scopes: ["publish"] })).body as Record<string, string>;
    using stream = await openStream(broker, "team:demo", { "x-api-key": key ?? "" });
    await stream.write(lineOf(log("a")));
    await expect.poll(() => historyOf(broker, "team:demo")).toEqual(["a"]);
    expect(
      (await fetch(`${broker.httpUrl}/v1/keys/${keyId}`, { method: "DELETE", headers: { "x-api-key": TEST_KEY } }))
        .status,
    ).toBe(204);
    await expect.poll(streams).toBe(0);
    await stream.write(lineOf(log("b")));
    stream.end();
    await expect.poll(() => stream.received).toMatch(/^HTTP\/1\.1 401 /);
    expect(stream.received).toMatch(/"error":\{"code":"unauthenticated".*"published":1,.*"next":1/s);
    expect(await historyOf(broker, "team:demo")).toEqual(["a"]);
  });

  it("ends when its channel is another team's", async () => {
    let owner = "demo";
    const listeners: ((channel: string) => void)[] = [];
    await broker.close();
    const access: ChannelAccess = {
      resolveSpecTeamId: async () => owner,
      resolveAgentTeamId: async () => "demo",
      onOwnerChanged(listener) {
        listeners.push(listener);
        return () => undefined;
      },
    };
    broker = await startBroker({ nats, access });
    using stream = await openStream(broker, "spec:s1");
    await stream.write(lineOf(log("a")));
    await expect.poll(() => historyOf(broker, "spec:s1")).toEqual(["a"]);
    owner = "other";
    for (const tell of listeners) tell("spec:s1");
    await expect.poll(streams).toBe(0);
    await stream.write(lineOf(log("b")));
    stream.end();
    await expect.poll(() => stream.received).toMatch(/^HTTP\/1\.1 403 .*"code":"forbidden".*"published":1,.*"next":1/s);
  });

  it("is answered when the broker stops", async () => {
    using stream = await openStream(broker, "agent:stop");
    await stream.write(lineOf(log("a")));
    await expect.poll(() => historyOf(broker, "agent:stop")).toEqual(["a"]);
    await broker.close();
    await stream.closed;
    expect(stream.received).toMatch(/^HTTP\/1\.1 503 .*"code":"unavailable".*"published":1,.*"next":1/s);
  });

  it("can come from curl", async () => {
    const url = `${broker.httpUrl}/v1/channels/agent:curl/events`;
    const headers = ["-H", `x-api-key: ${TEST_KEY}`, "-H", "content-type: application/x-ndjson"];
    for (const input of [
      ["-T", "-", "-X", "POST"],
      ["--data-binary", "@-"],
    ]) {
      const curl = spawn("curl", ["-sS", ...input, ...headers, url]);
      curl.stdin.end(
        numbers(2_500)
          .map((i) => lineOf(log(i)))
          .join(""),
      );
      const [answer, complaint] = await Promise.all([text(curl.stdout), text(curl.stderr)]);
      expect(complaint).toBe("");
      expect(JSON.parse(answer)).toMatchObject({ published: 2_500, failed: 0 });
    }
    expect(await historyOf(broker, "agent:curl")).toEqual([...numbers(2_500), ...numbers(2_500)]);
  });
});

describe("[HTTP-9] a line for each event", () => {
  const LINES = { accept: "application/x-ndjson" };

  async function results(response: Response): Promise<Record<string, unknown>[]> {
    const lines = (await response.text()).split("\n").filter((line) => line !== "");
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  const post = (channel: string, body: string | AsyncIterable<Uint8Array>, headers: Record<string, string> = {}) =>
    fetch(`${broker.httpUrl}/v1/channels/${channel}/events`, {
      method: "POST",
      headers: { "x-api-key": TEST_KEY, "content-type": "application/x-ndjson; charset=utf-8", ...LINES, ...headers },
      body: typeof body === "string" ? body : ReadableStream.from(body),
      duplex: "half",
    } as RequestInit);

  it("comes in order as they are stored, and the last one is the summary", async () => {
    const response = await post("agent:lines", `${lineOf(log("0"))}{\n${lineOf(log("2"))}`);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/x-ndjson"]);
    const [first, second, third, summary] = await results(response);
    expect(first).toMatchObject({ index: 0, duplicate: false });
    expect(second).toMatchObject({ index: 1, error: { code: "invalid_json", retryable: false } });
    expect(third).toMatchObject({ index: 2, duplicate: false });
    expect(summary).toEqual({ published: 2, duplicates: 0, failed: 1, first: first?.eventId, last: third?.eventId });
  });

  it("comes before the body has ended", async () => {
    using stream = await openStream(broker, "agent:talk", LINES);
    for (const [i, message] of ["a", "b"].entries()) {
      await stream.write(lineOf(log(message)));
      await expect.poll(() => stream.received).toContain(`{"index":${i},"eventId":"`);
    }
    stream.end();
    await expect.poll(() => stream.received).toMatch(/\r\n\r\n.*"published":2.*\r\n0\r\n\r\n$/s);
  });

  it("that is the first one refuses all with a status", async () => {
    expect((await post("team:other", lineOf(log("x")))).status).toBe(403);
    expect((await post("team:demo", "")).status).toBe(400);
  });

  it("is for every one of many", { timeout: LONG ? 600_000 : 120_000 }, async () => {
    const lines = await results(await post("agent:all", numberedLines(MANY)));
    expect(lines.length).toBe(MANY + 1);
    expect(lines.findIndex(({ index }, i) => index !== i)).toBe(MANY);
    expect(new Set(lines.map(({ eventId }) => eventId)).size).toBe(MANY + 1);
    expect(lines.at(-1)).toMatchObject({ published: MANY, failed: 0 });
  });

  it("is not lost on a client that reads none for a while: its body waits", { timeout: 90_000 }, async () => {
    const all = LONG ? 1_000_000 : 300_000;
    const { limit } = await held();
    using stream = await openStream(broker, "agent:deaf", LINES);
    stream.socket.pause();
    const writing = write(stream, all);
    await writing.stuck(1_000);
    expect(await streams()).toBe(1);
    stream.socket.resume();
    await writing.done;
    await expect.poll(() => stream.received.slice(-200), { timeout: 60_000 }).toContain(`"published":${all}`);
    expect(writing.mostHeld).toBeLessThanOrEqual(limit);
    const indexes = [...stream.received.matchAll(/"index":(\d+),"eventId"/g)].length;
    // A line that a chunk of the transfer cuts is not found.
    expect(indexes).toBeGreaterThan(all * 0.9);
  });

  it("is kept for a client that reads none at all only for so long", { timeout: 60_000 }, async () => {
    await restart({ stallTimeoutMs: 1_000 });
    using stream = await openStream(broker, "agent:dead", LINES);
    stream.socket.pause();
    const writing = (async () => {
      for await (const piece of numberedLines(1_000_000, 1_000)) {
        if (stream.socket.destroyed) return;
        await Promise.race([stream.write(piece.toString()), stream.closed]);
      }
    })();
    await expect.poll(streams, { timeout: 30_000 }).toBe(1);
    await expect.poll(streams, { timeout: 40_000, interval: 200 }).toBe(0);
    stream.socket.destroy();
    await writing;
  });
});

describe("[HTTP-10] a stream under an Idempotency-Key", () => {
  const KEY = { "idempotency-key": "upload-1" };

  it("that was cut off is sent again whole: each event is in the log once, in order", { timeout: 60_000 }, async () => {
    const count = 10_500;
    const whole = await pieces(count);
    for (const cutAt of [whole.length * 0.1, whole.length * 0.55, whole.length * 0.9].map(Math.round)) {
      const stream = await openStream(broker, "agent:upload", KEY);
      await stream.write(whole.slice(0, cutAt));
      // What is complete is stored; a chunk that could still grow is not.
      const complete = Math.floor((whole.slice(0, cutAt).split("\n").length - 1) / 1_000) * 1_000;
      await expect.poll(async () => (await historyOf(broker, "agent:upload")).length).toBe(complete);
      stream.socket.destroy();
      await expect.poll(streams).toBe(0);
      expect(await historyOf(broker, "agent:upload")).toEqual(numbers(complete));
    }
    const last = await postLines(broker, "agent:upload", whole, KEY);
    expect(last).toMatchObject({ status: 201, body: { published: count, duplicates: 9_000, failed: 0 } });
    expect(await historyOf(broker, "agent:upload")).toEqual(numbers(count));
    const again = await postLines(broker, "agent:upload", numberedLines(count, 77, THEN), KEY);
    expect(again).toMatchObject({
      status: 201,
      body: { duplicates: count, first: last.body.first, last: last.body.last },
    });
    expect(await historyOf(broker, "agent:upload")).toEqual(numbers(count));
  });

  it("is one record as long as it fits into one, wrong lines left out", async () => {
    const line = lineOf(log("x".repeat(1_000), THEN));
    const { body } = await postLines(broker, "agent:record", `${line.repeat(300)}{\n${line}`, KEY);
    expect(body).toMatchObject({ published: 301, failed: 1, errors: [{ index: 300, code: "invalid_json" }] });
    expect(body.last).toBe(`${body.first}.300`);
  });

  it("a stored line is an event as it is, and a full record comes to one again", async () => {
    const line = JSON.stringify({
      type: "log_entry",
      timestamp: "2026-01-01T00:00:00.000Z",
      encoding: "json",
      payload: { message: "x".repeat(421) },
    });
    // 1,000 lines of 524 bytes with their line feeds are just below 512 KiB.
    expect(line.length + 1).toBeLessThanOrEqual(524);
    const { body } = await postLines(broker, "agent:full", Array(1_000).fill(line).join("\n"), KEY);
    expect(body).toMatchObject({ published: 1_000 });
    expect(body.last).toBe(`${body.first}.999`);
  });

  it("ends where the key stands for something else", async () => {
    await postLines(broker, "agent:other", lineOf(log("a", THEN)) + lineOf(log("b", THEN)), KEY);
    const answer = await postLines(broker, "agent:other", numberedLines(2_000, 1_000, THEN), KEY);
    expect(answer).toMatchObject({ status: 409, body: { published: 0, error: { code: "taken" } } });
    expect(await historyOf(broker, "agent:other")).toEqual(["a", "b"]);
  });

  it("refuses events with keys of their own, and a malformed key", async () => {
    const own = lineOf({ ...log("a"), idempotencyKey: "own" });
    expect(await postLines(broker, "agent:own", own + lineOf(log("b")), KEY)).toMatchObject({
      status: 207,
      body: { published: 1, errors: [{ index: 0, code: "bad_request" }] },
    });
    expect(await postLines(broker, "agent:own", lineOf(log("c")), { "idempotency-key": "a b" })).toMatchObject({
      status: 400,
      body: { error: { code: "bad_request" } },
    });
    expect(await historyOf(broker, "agent:own")).toEqual(["b"]);
  });

  async function pieces(count: number): Promise<string> {
    let all = "";
    for await (const piece of numberedLines(count, 1_000, THEN)) all += piece.toString();
    return all;
  }
});

describe("[LIMIT-4] [LIMIT-5] the limits of a stream", () => {
  it("slow it down instead of refusing it", { timeout: 60_000 }, async () => {
    await restart({ maxPublishBytesPerSecond: 100_000 });
    const body = numbers(8_000)
      .map((i) => lineOf(log(i)))
      .join("");
    // More than a second's worth comes at once; the rest is waited for.
    expect(body.length).toBeGreaterThan(300_000);
    async function* inPieces() {
      for (let at = 0; at < body.length; at += 50_000) yield Buffer.from(body.slice(at, at + 50_000));
    }
    expect(await postLines(broker, "agent:paced", inPieces())).toMatchObject({
      status: 201,
      body: { published: 8_000 },
    });
    expect(await broker.metrics()).not.toMatch(/limit="publish_bytes"\} [1-9]/);
    expect(await historyOf(broker, "agent:paced")).toEqual(numbers(8_000));
  });

  it("give each its room, of which one key has a share, and a place among connections", async () => {
    await restart({ maxBodiesBytes: 64 * 1024 * 1024, maxConnectionsPerPrincipal: 4 });
    const open = await Promise.all(numbers(5).map(() => openStream(broker, "agent:crowd")));
    try {
      await expect.poll(streams).toBe(4);
      for (const each of open) each.end();
      const statuses = () => open.map(({ received }) => received.split(" ")[1]).sort();
      // An empty stream is answered, the fifth was refused.
      await expect.poll(statuses, { timeout: 10_000 }).toEqual(["400", "400", "400", "400", "429"]);
    } finally {
      for (const each of open) each.socket.destroy();
    }
    await restart({ maxBodiesBytes: 32 * 1024 * 1024 });
    const crowd = await Promise.all(numbers(3).map(() => openStream(broker, "agent:crowd")));
    try {
      // An eighth has room for two.
      await expect.poll(streams).toBe(2);
      await expect
        .poll(() => crowd.filter(({ received }) => received.includes(" 429 ")).length, { timeout: 10_000 })
        .toBe(1);
      expect(crowd.map(({ received }) => received).join("")).toContain("too many bodies");
    } finally {
      for (const each of crowd) each.socket.destroy();
      await Promise.all(crowd.map(({ closed }) => closed));
    }
  });
});
