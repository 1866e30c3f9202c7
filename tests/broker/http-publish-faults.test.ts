import type { BrokerConfig } from "@kata/broker";
import { STREAM } from "@kata/protocol/wire";
import { DiscardPolicy, jetstreamManager } from "@nats-io/jetstream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type InProcessBroker, startBroker, TEST_KEY } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { brokerUrl } from "../support/nats-secrets.ts";
import { startProxy } from "../support/proxy.ts";
import { ensureTestStream, readLog } from "../support/stream.ts";
import { historyOf, lineOf, log, numberedLines, openStream, postLines } from "./http-publishing.ts";

let nats: TestNats;
let broker: InProcessBroker;

beforeEach(async () => {
  nats = await startNats();
});

afterEach(async () => {
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

const start = async (config: Partial<BrokerConfig> = {}) => {
  broker = await startBroker({ nats, config });
};

const heldBytes = async () =>
  Number(/kata_memory_bytes\{of="publish_stream"\} (\d+)/.exec(await broker.metrics())?.[1]);

/** Lets the log take so many bytes and no more; -1: any number. */
async function limitLog(bytes: number): Promise<void> {
  await using nc = await connectNats(nats.url);
  const { streams } = await jetstreamManager(nc);
  const { config } = await streams.info(STREAM);
  await streams.update(STREAM, { ...config, max_bytes: bytes, discard: DiscardPolicy.New });
}

/** Is over after so long, for what is to be outlasted. */
const past = async (ms: number) => {
  const until = performance.now() + ms;
  await expect.poll(() => performance.now(), { timeout: ms + 5_000 }).toBeGreaterThan(until);
};

describe("attacks invariant 2, [HTTP-8]: a log that refuses a part of a stream", () => {
  // 50 KB in the body, 220 KB in the log.
  const swelling = `{"type":"own","payload":{"message":"n","numbers":[${"1e20,".repeat(10_000)}0]}}\n`;
  const long = lineOf(log("y".repeat(290_000)));
  const short = Array.from({ length: 100 }, (_, i) => lineOf(log(`${i} ${"x".repeat(600)}`))).join("");

  it.each([
    ["lines that come to two records together", swelling + swelling],
    ["a long line and short ones", long + short],
  ])("is told what it took, and where to go on: %s", async (_what, lines) => {
    await start({ publishTimeoutMs: 1_500 });
    // Room for the first record and not for the second.
    await limitLog(330_000);
    const answer = await postLines(broker, "agent:full", lines);
    expect(answer).toMatchObject({ status: 503, body: { error: { code: "unavailable" }, published: 1, next: 1 } });
    expect((await historyOf(broker, "agent:full")).length).toBe(1);
    await limitLog(-1);
    const rest = lines.split("\n").slice(answer.body.next).join("\n");
    expect(await postLines(broker, "agent:full", rest)).toMatchObject({ status: 201 });
    expect((await historyOf(broker, "agent:full")).length).toBe(lines.split("\n").length - 1);
  });

  it("refuses the line that is too long for it, and none of its neighbours", async () => {
    await ensureTestStream(nats.url, { max_msg_size: 100_000 });
    await start();
    const messages = Array.from({ length: 300 }, (_, i) => `${i} ${"x".repeat(i === 150 ? 150_000 : 200)}`);
    const { status, body } = await postLines(broker, "agent:small", messages.map((each) => lineOf(log(each))).join(""));
    expect([status, body.published, body.failed]).toEqual([207, 299, 1]);
    expect(body.errors).toMatchObject([{ index: 150, code: "too_large", retryable: false }]);
    expect(await historyOf(broker, "agent:small")).toEqual(messages.filter((_, i) => i !== 150));
  });
});

describe("attacks invariant 3, [HTTP-3]: a NATS server that takes less than the one that was lost with its acknowledgements", () => {
  const messages = Array.from({ length: 20 }, (_, i) => `${i} ${"x".repeat(500)}`);
  const lines = messages.map((each) => lineOf(log(each))).join("");
  const array = JSON.stringify(messages.map((each) => log(each)));
  const NDJSON = "application/x-ndjson";

  describe.each([
    ["a stream", lines, { "content-type": NDJSON }],
    ["a stream under a key", lines, { "content-type": NDJSON, "idempotency-key": "k" }],
    ["an array", array, {}],
    ["an array under a key", array, { "idempotency-key": "k" }],
  ])("%s", (_what, body, headers) => {
    it("that was stored is found, and is not stored twice", async () => {
      const { status, json, stored } = await answerTo(body, headers, "answer");
      expect(status).toBe(201);
      expect(json.published ?? json.results?.length ?? json.eventIds?.length).toBe(20);
      expect(stored.length).toBe(20);
    });

    it("that was lost on the way there is not said to be too large: nobody knows that it was not stored", async () => {
      const { status, json, stored } = await answerTo(body, headers, "events");
      expect([status, json]).toMatchObject([503, { error: { code: "unavailable", retryable: true } }]);
      expect(stored).toEqual([]);
    });
  });

  /** A publish of which something is lost, the events or the answer to them, with the connection; then NATS takes less. */
  async function answerTo(body: string, headers: Record<string, string>, what: "events" | "answer") {
    let lost = false;
    let maxPayload = 1_048_576;
    let swallowed = 0;
    await using proxy = await startProxy({ port: nats.port }, () => ({
      fromClient: (chunk) => {
        if (!lost || what === "answer") return chunk;
        swallowed += chunk.length;
        return Buffer.alloc(0);
      },
      fromServer: (chunk) => {
        if (lost) return Buffer.alloc(0);
        return Buffer.from(
          chunk.toString("latin1").replace(/"max_payload":\d+/g, `"max_payload":${maxPayload}`),
          "latin1",
        );
      },
    }));
    await using nc = await connectNats(nats.url);
    broker = await startBroker({ nats: { url: brokerUrl(proxy.port) }, config: { publishTimeoutMs: 20_000 } });
    await postLines(broker, "agent:first", lineOf(log("0")));
    lost = true;
    const answer = fetch(`${broker.httpUrl}/v1/channels/agent:lost/events`, {
      method: "POST",
      headers: { "x-api-key": TEST_KEY, ...headers },
      body,
    });
    const stored = async () => (await readLog(nc, "kata.team.demo.agent.lost")).flatMap((record) => record.lines);
    if (what === "answer") await expect.poll(async () => (await stored()).length).toBe(20);
    else await expect.poll(() => swallowed).toBeGreaterThan(20 * 500);
    maxPayload = 4_096;
    lost = false;
    proxy.cut();
    const { status, json } = await answer.then(async (each) => ({
      status: each.status,
      json: (await each.json()) as { published?: number; results?: unknown[]; eventIds?: unknown[] },
    }));
    return { status, json, stored: await stored() };
  }
});

describe("[HTTP-8] a stream whose body has come whole", () => {
  const both = lineOf(log("1")) + lineOf(log("2"));

  it("is not silent while the log is slow", async () => {
    await start({ streamIdleTimeoutMs: 1_000, heartbeatIntervalMs: 500, publishTimeoutMs: 20_000 });
    await postLines(broker, "agent:idle", lineOf(log("0")));
    nats.suspend();
    const answer = postLines(broker, "agent:idle", both);
    await past(2_500);
    nats.resume();
    expect(await answer).toMatchObject({ status: 201, body: { published: 2, failed: 0 } });
    expect(await historyOf(broker, "agent:idle")).toEqual(["0", "1", "2"]);
  });

  it("is answered with what became of it by a broker that stops", async () => {
    await start();
    await postLines(broker, "agent:last", lineOf(log("0")));
    nats.suspend();
    const answer = postLines(broker, "agent:last", both);
    await expect.poll(heldBytes).toBeGreaterThan(0);
    const closing = broker.close();
    nats.resume();
    expect(await answer).toMatchObject({ status: 201, body: { published: 2, failed: 0 } });
    await closing;
    await start();
    expect(await historyOf(broker, "agent:last")).toEqual(["0", "1", "2"]);
  });
});

describe("[LIMIT-4] a stream that is made to wait", () => {
  it("leaves room for publishes of the same key that cannot", { timeout: 60_000 }, async () => {
    await start({ maxPublishBytesPerSecond: 100_000 });
    const stream = postLines(broker, "agent:big", numberedLines(15_000, 2_000));
    const statuses: number[] = [];
    for (let i = 0, before = 0; i < 8; i++) {
      // It moves on, and takes what it may.
      const moved = async () => (await historyOf(broker, "agent:big")).length;
      await expect.poll(moved, { timeout: 20_000 }).toBeGreaterThan(before);
      before = await moved();
      const response = await fetch(`${broker.httpUrl}/v1/channels/agent:small/events`, {
        method: "POST",
        headers: { "x-api-key": TEST_KEY },
        body: JSON.stringify(log(String(i))),
      });
      await response.arrayBuffer();
      statuses.push(response.status);
    }
    expect(statuses).toEqual(Array(8).fill(201));
    expect(await stream).toMatchObject({ status: 201, body: { published: 15_000 } });
  });
});

describe("[HTTP-8] a stream that is answered by a broker that stops", () => {
  it("may go on sending: nobody hears it", async () => {
    await start();
    using stream = await openStream(broker, "agent:deaf");
    const closed = stream.closed.catch(() => undefined);
    await stream.write(lineOf(log("a")));
    await expect.poll(() => historyOf(broker, "agent:deaf")).toEqual(["a"]);
    nats.suspend();
    // The broker waits for this one.
    const last = postLines(broker, "agent:last", lineOf(log("1")));
    await expect.poll(heldBytes).toBeGreaterThan(0);
    const closing = broker.close();
    const sent = stream.write(lineOf(log("b")));
    await expect.poll(() => stream.received).toMatch(/^HTTP\/1\.1 503 /);
    for (let i = 0; i < 5; i++) await Promise.race([stream.write(lineOf(log("c"))), closed]);
    nats.resume();
    expect(await last).toMatchObject({ status: 201, body: { published: 1 } });
    await Promise.all([closing, closed, Promise.race([sent, closed])]);
    await start();
    expect(await historyOf(broker, "agent:deaf")).toEqual(["a"]);
  });
});
