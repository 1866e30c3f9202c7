import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type InProcessBroker, startBroker, TEST_KEY } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { createApiClient } from "./api-client.ts";

let nats: TestNats;
let broker: InProcessBroker;
const sockets: Socket[] = [];

beforeEach(async () => {
  nats = await startNats();
  broker = await startBroker({
    nats,
    keptInNats: true,
    config: { maxFailedAuthsPerMinute: 0, maxBodiesBytes: 8 * MIB, maxBodyBytes: MIB },
  });
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

const MIB = 1024 * 1024;
const EVENT = { type: "log_entry", payload: { message: "m" } };

/** A request whose body of so many bytes is announced, and not sent. */
async function announce(line: string, bytes: number, key?: string): Promise<Socket> {
  const socket = connect(broker.port, "127.0.0.1");
  sockets.push(socket);
  await once(socket, "connect");
  const who = key === undefined ? "" : `X-Api-Key: ${key}\r\n`;
  socket.write(`${line} HTTP/1.1\r\nHost: x\r\n${who}Content-Length: ${bytes}\r\n\r\n`);
  return socket;
}

/** What is in memory outside of JavaScript's own heap, bytes. */
async function held(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  // What is dead is freed in two steps, with a turn between.
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().arrayBuffers;
}

describe("a request that was refused and goes on sending its body", () => {
  it.each([
    ["POST /v1/channels/team:demo/events", MIB],
    ["POST /v1/keys", 60 * 1024],
    ["POST /v1/keys/k1/rotate", 60 * 1024],
    ["DELETE /v1/keys/k1", 60 * 1024],
    ["POST /v1/sessions", 60 * 1024],
    ["DELETE /v1/sessions/s1", 60 * 1024],
    ["PUT /v1/channels/spec:s1", 60 * 1024],
  ])("takes no memory: %s", async (line, bytes) => {
    const count = Math.ceil((40 * MIB) / bytes);
    // All but the last byte: a body that has come whole is let go in any case.
    const body = Buffer.alloc(bytes - 1, 32);
    const before = await held();
    const answers: string[] = [];
    const all = await Promise.all(Array.from({ length: count }, () => announce(line, bytes)));
    for (const socket of all) socket.once("data", (head: Buffer) => answers.push(head.toString("latin1")));
    // The sockets are read in turn: after these it is the turn of none that was written to before.
    const turns = async () => {
      for (let i = 0; i < 10; i++) expect((await fetch(`${broker.httpUrl}/healthz`)).status).toBe(200);
    };
    await turns();
    for (const socket of all) await new Promise<void>((resolve) => socket.write(body, () => resolve()));
    await turns();
    expect((await held()) - before).toBeLessThan(20 * MIB);
    // The rest is not waited for for ever.
    await expect.poll(() => answers.length, { timeout: 20_000 }).toBe(count);
    for (const answer of answers) expect(answer).toMatch(/^HTTP\/1\.1 401 .*connection: close/is);
  });
});

describe("[LIMIT-1] the room for bodies", () => {
  it("is not taken by one key that announces bodies and sends none", async () => {
    const admin = createApiClient(broker.httpUrl, TEST_KEY);
    const [greedy, other] = await Promise.all(
      [1, 2].map(async () => ((await admin.post("/v1/keys", { scopes: ["publish"] })).body as { key: string }).key),
    );
    const refused: string[] = [];
    for (let i = 0; i < 12; i++) {
      const socket = await announce("POST /v1/channels/team:demo/events", MIB, greedy);
      socket.on("data", (data: Buffer) => refused.push(data.toString("latin1")));
    }
    // The first has its share of an eighth; the others are not waited for.
    await expect.poll(() => refused.length, { timeout: 20_000 }).toBe(11);
    for (const answer of refused) expect(answer).toMatch(/^HTTP\/1\.1 (429|503) /);
    expect(refused.some((answer) => answer.includes("rate_limited"))).toBe(true);
    const { status } = await createApiClient(broker.httpUrl, other ?? "").post("/v1/channels/team:demo/events", EVENT);
    expect(status).toBe(201);
    expect(await broker.metrics()).toMatch(/limit="bodies"\} ([1-9]|1\d)\b/);
  });

  it("nor by one that administers", async () => {
    const refused: string[] = [];
    for (let i = 0; i < 20; i++) {
      const socket = await announce("POST /v1/keys", 60 * 1024, TEST_KEY);
      socket.on("data", (data: Buffer) => refused.push(data.toString("latin1")));
    }
    // An eighth is 1 MiB, of which each takes 64 KiB.
    await expect.poll(() => refused.length, { timeout: 20_000 }).toBe(4);
    for (const answer of refused) expect(answer).toMatch(/^HTTP\/1\.1 429 /);
  });
});
