import type { Random } from "../support/random.ts";
import { below, chance, damaged, noise, pick, weighted } from "./choice.ts";
import { channelName } from "./commands.ts";

/** What is no request, or no whole one. It presents no credentials, unless it says so: nothing of it may have an effect. */
export interface BrokenRequest {
  /** Written one after the other. */
  readonly parts: readonly Buffer[];
  /** Whether the client says that nothing more comes. */
  readonly halfClosed: boolean;
  /** Statuses that an answer may have; none at all where the connection ends. */
  readonly statuses: readonly number[];
}

/** The HTTP layer's own pages [HTTP-2]. */
const LAYER = [400, 431, 505];
const UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION = "Sec-WebSocket-Version: 13\r\n";

/** @param apiKey a good one, presented where the request cannot come to anything */
export function brokenRequest(random: Random, apiKey: string): BrokenRequest {
  const path = `/v1/channels/${channelName(0)}/events`;
  const good = `X-API-Key: ${apiKey}\r\n`;
  const post = (lines: string, body: string | Buffer = "") =>
    one(`POST ${path} HTTP/1.1\r\nHost: x\r\n${lines}\r\n`, body);
  const get = (line: string, lines = "Host: x\r\n") => one(`${line}\r\n${lines}\r\n`);
  return weighted<BrokenRequest>(random, [
    [3, () => broken(Buffer.concat([noise(random, 1 + below(random, 300)), Buffer.from("\r\n\r\n")]), LAYER, true)],
    [
      2,
      () => broken(damaged(random, Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")), [...LAYER, 404, 405, 200], true),
    ],
    [
      1,
      () =>
        get(
          `GET /healthz ${pick(random, ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/11", "XTTP/1.1", ""])}`,
        ),
    ],
    [
      1,
      () =>
        get(
          `GET ${pick(random, ["http://x/healthz", "https://x/", "ftp://x/", "*", "x:80", "healthz", "/a b", "/\u0000"])} HTTP/1.1`,
        ),
    ],
    [1, () => get(pick(random, ["SSH-2.0-OpenSSH", "PRI * HTTP/2.0", "\u0016\u0003\u0001\u0002", "EHLO x", "GET"]))],
    [
      1,
      () =>
        post(
          `${good}Content-Length: ${pick(random, ["abc", "-5", "+26", "0x10", "1e3", "9".repeat(30), "1,1"])}\r\n`,
          "{}",
        ),
    ],
    [1, () => post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n")],
    [
      1,
      () =>
        post(
          "Transfer-Encoding: chunked\r\n",
          pick(random, ["zz\r\n{}\r\n0\r\n\r\n", "-1\r\n\r\n", "2;x=\r\n{}\r\n0\r\n\r\n"]),
        ),
    ],
    [1, () => ({ ...post(`${good}Content-Length: 2000000\r\n`, "["), statuses: [413] })],
    // Whoever sends on may find the connection reset before the answer is read.
    [0.02, () => ({ ...post(`${good}Transfer-Encoding: chunked\r\n`, endless()), statuses: [413] })],
    [
      1,
      () => ({
        ...post(`${good}Content-Length: 40\r\n`, '{"type":"own.type","payload":1}'),
        halfClosed: true,
        statuses: [],
      }),
    ],
    [1, () => ({ ...post(`${good}Transfer-Encoding: chunked\r\n`, "40\r\n{"), halfClosed: true, statuses: [] })],
    [1, () => ({ ...get("GET /healthz HT"), halfClosed: true })],
    [0.1, () => get("GET / HTTP/1.1", `X: ${"y".repeat(140_000)}\r\n`)],
    // What it comes to depends on whether the network cuts it.
    [
      1,
      () => ({
        ...get("GET /v1/keys HTTP/1.1", `Host: x\r\nX: ${"y".repeat(4_096 + below(random, 100_000))}\r\n`),
        statuses: [401, 431],
      }),
    ],
    // One more behind one that is not answered yet: the HTTP layer gives both up.
    [1, () => ({ ...one(`GET ${path} HTTP/1.1\r\nHost: x\r\n${good}\r\n`.repeat(3)), statuses: [200] })],
    [3, () => badUpgrade(random, good)],
    [0.5, () => slow(random, good)],
  ]);
}

function badUpgrade(random: Random, good: string): BrokenRequest {
  const upgrade = (lines: string, statuses: readonly number[], method = "GET") => ({
    ...one(`${method} /ws HTTP/1.1\r\nHost: x\r\n${lines}\r\n`),
    statuses,
  });
  return weighted<BrokenRequest>(random, [
    [1, () => upgrade(good + UPGRADE + VERSION, [400])],
    [1, () => upgrade(`${good}${UPGRADE}${VERSION}Sec-WebSocket-Key: ${"x".repeat(below(random, 24))}\r\n`, [400])],
    [
      1,
      () =>
        upgrade(`${good}${UPGRADE}${VERSION}Sec-WebSocket-Key: ${"x".repeat(25 + below(random, 3_000))}\r\n`, [400]),
    ],
    [1, () => upgrade(good + UPGRADE + VERSION + KEY, [400], pick(random, ["POST", "PUT", "OPTIONX"]))],
    [2, () => upgrade(UPGRADE + VERSION + KEY, [401])],
    [2, () => upgrade(`${UPGRADE}${VERSION}${KEY}X-API-Key: kat_live_x_${"y".repeat(20)}\r\n`, [401])],
    [1, () => upgrade(`${UPGRADE}${VERSION}${KEY}Sec-WebSocket-Protocol: bearer.a.b.c, kata.v2\r\n`, [401])],
  ]);
}

/** What the HTTP layer takes for the beginning of a request, and waits for the rest for ten seconds. */
function slow(random: Random, good: string): BrokenRequest {
  return one(
    pick(random, [
      "",
      "G",
      "GET /healthz HTTP/1.1\r\n",
      "GET /healthz HTTP/1.1\r\nHost: x\r\n",
      "GET /healthz HTTP/1.1\r\n\r\n",
      "\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
      "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo\r\n\r\n",
      "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo : x\r\n\r\n",
      "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo: x\u0000y\r\n\r\n",
      "GET /healthz HTTP/1.1\r\nHost: x\r\nx_y: z\r\n\r\n",
      `GET /healthz HTTP/1.1\r\nHost: x\r\n${"x: y\r\n".repeat(100)}\r\n`,
      `POST /v1/channels/team:demo/events HTTP/1.1\r\nHost: x\r\n${good}Content-Length: 40\r\n\r\n{`,
      `POST /v1/keys HTTP/1.1\r\nHost: x\r\n${good}Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n{`,
    ]),
  );
}

function one(head: string, body: string | Buffer = ""): BrokenRequest {
  return broken(Buffer.concat([Buffer.from(head, "latin1"), Buffer.from(body as string)]), LAYER);
}

function broken(bytes: Buffer, statuses: readonly number[], halfClosed = false): BrokenRequest {
  return { parts: [bytes], halfClosed, statuses };
}

function endless(): Buffer {
  const chunk = Buffer.concat([Buffer.from("10000\r\n"), Buffer.alloc(65_536, 0x20), Buffer.from("\r\n")]);
  return Buffer.concat(Array.from({ length: 18 }, () => chunk));
}

/** Now and then in several pieces, which the HTTP layer has to put together. */
export function inPieces(random: Random, { parts }: BrokenRequest): readonly Buffer[] {
  const bytes = Buffer.concat(parts);
  if (bytes.length > 3_000 || !chance(random, 0.1)) return parts;
  const at = below(random, bytes.length + 1);
  return [bytes.subarray(0, at), bytes.subarray(at)];
}
