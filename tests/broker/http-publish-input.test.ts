import { once } from "node:events";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type InProcessBroker, startBroker, TEST_KEY } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { historyOf, lineOf, log, postLines } from "./http-publishing.ts";

let nats: TestNats;
let broker: InProcessBroker;

beforeAll(async () => {
  nats = await startNats();
  broker = await startBroker({ nats, keptInNats: true });
});

afterAll(async () => {
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

interface Answer {
  readonly eventIds?: readonly string[];
  readonly published?: number;
  readonly error?: { readonly code: string; readonly message: string };
}

async function post(
  path: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<{ readonly status: number; readonly body: Answer }> {
  const init = { method: "POST", headers: { "x-api-key": TEST_KEY, ...headers }, body } as RequestInit;
  const response = await fetch(broker.httpUrl + path, init);
  return { status: response.status, body: (await response.json()) as Answer };
}

const to = (channel: string) => `/v1/channels/${channel}/events`;
const deep = (depth: number) => `{"type":"own","payload":${"[".repeat(depth)}${"]".repeat(depth)}}`;
const own = (payload: string) => `{"type":"own","payload":${payload}}`;
const keyed = (key: string) => `{"type":"log_entry","payload":{"message":"k"},"idempotencyKey":${key}}`;
const NDJSON = { "content-type": "application/x-ndjson" };

describe("[HTTP-13] an event that the log could not keep as it is", () => {
  it.each([
    ["a tenth digit of a second", JSON.stringify(log("x", "2026-01-01T00:00:00.1234567890Z"))],
    ["a time in lower case", JSON.stringify(log("x", "2026-01-31t12:00:00z"))],
    ["a leap second", JSON.stringify(log("x", "2016-12-31T23:59:60Z"))],
    ["a time without seconds", JSON.stringify(log("x", "2026-01-31T12:00Z"))],
    ["a time without an offset", JSON.stringify(log("x", "2026-01-31T12:00:00"))],
    ["a day that is none", JSON.stringify(log("x", "1900-02-29T00:00:00Z"))],
    ["a year after 9999 in UTC", JSON.stringify(log("x", "9999-12-31T23:59:59-01:00"))],
    ["a year before 0000 in UTC", JSON.stringify(log("x", "0000-01-01T00:00:00+01:00"))],
    ["no timestamp at all", JSON.stringify(log("x", "nonsense"))],
    ["1,001 arrays in each other", deep(1_001)],
    ["as many as the stack nearly takes", deep(4_200)],
    ["100,000 arrays in each other", deep(100_000)],
    ["a number beyond a double", own("1e400")],
    ["a number beyond a double within", own('{"a":[{"b":-1e400}]}')],
    ["half a surrogate pair as its key", keyed('"\\ud800"')],
    ["the other half, within", keyed('"a\\udc00b"')],
  ])("is refused, and none of its neighbours in a stream: %s", async (what, line) => {
    const channel = `agent:${what.replace(/\W/g, "")}`;
    const answer = await postLines(broker, channel, `${lineOf(log("a"))}${line}\n${lineOf(log("c"))}`);
    expect(answer).toMatchObject({ status: 207, body: { published: 2, failed: 1 } });
    expect(answer.body.errors).toMatchObject([{ index: 1, code: "invalid_event", retryable: false }]);
    expect(await historyOf(broker, channel)).toEqual(["a", "c"]);
    expect(await post(to(channel), `[${line}]`)).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_event" } },
    });
  });

  it.each([
    ["an offset", JSON.stringify(log("x", "2026-01-01T00:00:00.5+23:59"))],
    ["nine digits of a second", JSON.stringify(log("x", "2026-01-01T00:00:00.123456789Z"))],
    [
      "the first year and the last",
      JSON.stringify([log("x", "0000-01-01T00:00:00Z"), log("x", "9999-12-31T23:59:59Z")]),
    ],
    ["1,000 arrays in each other", deep(1_000)],
    ["the largest number", own("1.7976931348623157e308")],
    ["a key of whole pairs", keyed('"\\ud83d\\ude00"')],
  ])("is not one with %s", async (_what, body) => {
    expect(await post(to("agent:edge"), body)).toMatchObject({ status: 201 });
  });

  it("[HTTP-11] may be as deep as it may, also where a second attempt joins the first", async () => {
    const headers = { "idempotency-key": "deep", "kata-publish-id": "p1" };
    nats.suspend();
    const first = post(to("agent:join"), deep(1_000), headers);
    // The broker has the first when it answers this.
    await fetch(`${broker.httpUrl}/healthz`);
    const second = post(to("agent:join"), deep(1_000), { ...headers, "kata-attempt": "since=10" });
    await fetch(`${broker.httpUrl}/healthz`);
    nats.resume();
    const [{ status, body }, again] = await Promise.all([first, second]);
    expect([status, again.status, again.body.eventIds]).toEqual([201, 201, body.eventIds]);
  });
});

describe("[HTTP-12] a body", () => {
  const two = lineOf(log("1")) + lineOf(log("2"));

  it.each([
    ["a stream", to("agent:gzip"), NDJSON],
    ["an array", to("agent:gzip"), {}],
    ["a key to be made", "/v1/keys", {}],
  ])("that is compressed is refused, and not read: %s", async (_what, path, headers) => {
    const answer = await post(path, gzipSync(two), { ...headers, "content-encoding": "gzip" });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: "bad_request" } } });
    expect(answer.body.error?.message).toContain("uncompressed: content-encoding gzip");
  });

  it("may say that it is not compressed", async () => {
    expect(await post(to("agent:plain"), two, { ...NDJSON, "content-encoding": "identity" })).toMatchObject({
      status: 201,
      body: { published: 2 },
    });
  });

  it.each(["application/x-ndjson", "application/ndjson", "application/jsonl; charset=utf-8", "Application/X-NDJSON"])(
    "is lines as %s",
    async (type) => {
      const answer = await post(to("agent:types"), two, { "content-type": type });
      expect(answer).toMatchObject({ status: 201, body: { published: 2 } });
    },
  );

  it("may begin with a byte order mark, and nothing else in it may", async () => {
    const bom = "\ufeff";
    expect(await post(to("agent:bom"), bom + JSON.stringify(log("1")))).toMatchObject({ status: 201 });
    expect(await post(to("agent:bom"), bom + two, NDJSON)).toMatchObject({ status: 201, body: { published: 2 } });
    expect(await post(to("agent:bom"), two + bom + two, NDJSON)).toMatchObject({ status: 207, body: { published: 3 } });
  });

  it.each([
    ["lines sent as JSON", two, {}],
    ["lines without their line feeds", two.replaceAll("\n", ""), {}],
    ["lines without their line feeds, as lines", two.replaceAll("\n", ""), NDJSON],
  ])("that is %s is told how to send them", async (_what, body, headers) => {
    const answer = await post(to("agent:hint"), body, headers);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: "invalid_json" } } });
    expect(answer.body.error?.message).toContain("Content-Type: application/x-ndjson");
    expect(answer.body.error?.message).toContain("--data-binary");
    expect(answer.body.error?.message.length).toBeLessThanOrEqual(200);
  });

  it("that is otherwise no JSON is told so alone", async () => {
    for (const body of ["{", '{"type":"own"\n,,}', '"\\x"']) {
      expect((await post(to("agent:hint"), body)).body.error?.message).not.toContain("ndjson");
    }
  });
});

describe("[HTTP-12] the connection of a publish", () => {
  const request = (channel: string, headers: string, body: string) =>
    `POST ${to(channel)} HTTP/1.1\r\nhost: x\r\nx-api-key: ${TEST_KEY}\r\ncontent-type: application/x-ndjson\r\n${headers}\r\n\r\n${body}`;
  const line = lineOf(log("1"));
  const length = `content-length: ${line.length}`;
  const chunk = `${line.length.toString(16)}\r\n${line}\r\n0\r\n`;

  /** What is answered before the connection is closed. */
  async function send(text: string, half = false): Promise<string> {
    const socket = connect({ port: broker.port, host: "127.0.0.1", allowHalfOpen: true });
    let received = "";
    socket.on("data", (data: Buffer) => {
      received += data.toString("latin1");
    });
    socket.on("error", () => undefined);
    const ended = Promise.race([once(socket, "end"), once(socket, "close")]);
    if (half) socket.end(text);
    else socket.write(text);
    await ended;
    socket.destroy();
    return received;
  }

  it("takes no second request before the first is answered", async () => {
    const both = request("agent:pipe", length, line) + request("agent:pipe", length, line);
    expect(await send(both)).toBe("");
    await expect.poll(() => historyOf(broker, "agent:pipe")).toEqual(["1"]);
  });

  it("is not to be closed halfway: there is no answer then, and the events are stored", async () => {
    expect(await send(request("agent:half", length, line), true)).toBe("");
    await expect.poll(() => historyOf(broker, "agent:half")).toEqual(["1"]);
  });

  it("has no trailers", async () => {
    const answer = await send(request("agent:trail", "transfer-encoding: chunked", `${chunk}foo: bar\r\n\r\n`));
    expect(answer).toMatch(/^HTTP\/1\.1 (400|505) .*connection: close/is);
  });

  it("has no coding but chunks", async () => {
    const coded = request("agent:coded", "transfer-encoding: gzip, chunked\r\nconnection: close", `${chunk}\r\n`);
    expect(await send(coded)).toMatch(/^HTTP\/1\.1 400 .*uncompressed: transfer-encoding gzip, chunked/s);
    expect(await historyOf(broker, "agent:coded")).toEqual([]);
  });

  it("is told at once to go on where it asks", async () => {
    const asking = request("agent:expect", `${length}\r\nexpect: 100-continue\r\nconnection: close`, "");
    const socket = connect(broker.port, "127.0.0.1");
    socket.write(asking);
    const [first] = (await once(socket, "data")) as [Buffer];
    expect(String(first)).toMatch(/^HTTP\/1\.1 100 /);
    socket.write(line);
    const [second] = (await once(socket, "data")) as [Buffer];
    expect(String(second)).toMatch(/^HTTP\/1\.1 201 /);
    socket.destroy();
  });
});
