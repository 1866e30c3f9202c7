import { once } from "node:events";
import { type AddressInfo, connect as connectTcp, createServer } from "node:net";
import type { NatsConnection } from "@nats-io/transport-node";
import { describe, expect, it } from "vitest";
import { startNats } from "./nats.ts";
import { connectNats } from "./nats-connect.ts";
import { NatsFrameReader } from "./nats-frames.ts";
import { type NatsProxy, startNatsProxy } from "./nats-proxy.ts";
import { type Random, seededRandom } from "./random.ts";

// Payloads that look like protocol, and some without a byte.
const FRAMES = [
  'INFO {"server_id":"x"}\r\n',
  "PING\r\n",
  "+OK\r\n",
  "-ERR 'Slow Consumer'\r\n",
  "MSG live.a 1 22\r\nMSG b 1 2\r\nxx\r\nPING \r\n\r\n",
  "MSG a 1 _INBOX.x 0\r\n\r\n",
  "HMSG a 1 _INBOX.x 12 15\r\nNATS/1.0\r\n\r\nabc\r\n",
  "pub a 4\r\nä\r\n\r\n",
  "HPUB a r 12 12\r\nNATS/1.0\r\n\r\n\r\n",
];

function inChunks(bytes: Buffer, most: number, random: Random): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunks.at(-1)?.length ?? 0) {
    chunks.push(bytes.subarray(at, at + 1 + Math.floor(random() * most)));
  }
  return chunks;
}

describe("frames", () => {
  it.each([1, 3, 60])("are found whole, wherever their bytes were cut (chunks of up to %i)", (most) => {
    const random = seededRandom();
    const texts = Array.from({ length: 1_000 }, () => FRAMES[Math.floor(random() * FRAMES.length)] as string);
    const reader = new NatsFrameReader();
    const frames = inChunks(Buffer.from(texts.join("")), most, random).flatMap((chunk) => reader.push(chunk));
    expect(frames.map((frame) => frame.bytes.toString())).toEqual(texts);
  });

  it("are read: subject, headers, payload", () => {
    const read = new NatsFrameReader().push(Buffer.from(FRAMES.join("")));
    expect(read.map(({ verb, subject, headers, payload }) => [verb, subject, `${headers}`, `${payload}`])).toEqual([
      ["INFO", "", "", ""],
      ["PING", "", "", ""],
      ["+OK", "", "", ""],
      ["-ERR", "", "", ""],
      ["MSG", "live.a", "", "MSG b 1 2\r\nxx\r\nPING \r\n"],
      ["MSG", "a", "", ""],
      ["HMSG", "a", "NATS/1.0\r\n\r\n", "abc"],
      ["PUB", "a", "", "ä\r\n"],
      ["HPUB", "a", "NATS/1.0\r\n\r\n", ""],
    ]);
  });
});

/** A connection through the proxy, and what it is sent on `a.>` from now on. */
async function listen(proxy: NatsProxy): Promise<{ nc: NatsConnection; heard: string[] } & AsyncDisposable> {
  const nc = await connectNats(proxy.url, { reconnectTimeWait: 20, maxReconnectAttempts: -1 });
  const heard: string[] = [];
  nc.subscribe("a.>", { callback: (_, message) => void heard.push(`${message.subject} ${message.string()}`) });
  await nc.flush();
  return { nc, heard, [Symbol.asyncDispose]: () => nc.close() };
}

describe("the NATS proxy", () => {
  it("swallows the next message that is picked, or all of them, and nothing else", async () => {
    await using nats = await startNats();
    await using proxy = await startNatsProxy(nats);
    await using client = await listen(proxy);
    const say = async (...messages: string[]) => {
      for (const message of messages) client.nc.publish("a.b", message);
      // Answered after everything before it was handed over.
      await client.nc.flush();
      return client.heard.splice(0);
    };
    const swallowed = proxy.swallowNext(({ subject, payload }) => subject === "a.b" && payload.toString() === "2");
    expect(await say("1", "2", "3", "2")).toEqual(["a.b 1", "a.b 3", "a.b 2"]);
    expect((await swallowed).payload.toString()).toBe("2");
    const swallowing = proxy.swallow(({ payload }) => Number(payload.toString()) % 2 === 1);
    expect(await say("1", "2", "3", "4")).toEqual(["a.b 2", "a.b 4"]);
    await swallowing.reaches(2);
    expect(swallowing.count).toBe(2);
    swallowing.stop();
    expect(await say("5")).toEqual(["a.b 5"]);
  });

  it("counts what clients publish, by subject", async () => {
    await using nats = await startNats();
    await using proxy = await startNatsProxy(nats);
    await using client = await listen(proxy);
    await client.nc.request("$JS.API.INFO", "");
    await client.nc.request("$JS.API.STREAM.NAMES", "");
    client.nc.publish("other");
    await client.nc.flush();
    expect(["$JS.API.", "$JS.API.STREAM.", "other", ""].map(proxy.published)).toEqual([2, 1, 1, 3]);
    proxy.resetPublished();
    expect(proxy.published("")).toBe(0);
  });

  it("stops, and cuts, in the middle of a message: the client comes back to it, and hears whole messages only", async () => {
    await using nats = await startNats();
    await using proxy = await startNatsProxy(nats);
    await using client = await listen(proxy);
    await using direct = await connectNats(nats.url);
    const long = "x".repeat(500_000);
    proxy.pause();
    direct.publish("a.b", long);
    await direct.flush();
    proxy.resume();
    await expect.poll(() => client.heard).toEqual([`a.b ${long}`]);
    const cut = proxy.cutAfter(1_000, "server");
    direct.publish("a.b", long);
    await cut;
    await expect.poll(() => proxy.open).toBe(1);
    await client.nc.flush();
    direct.publish("a.c", "again");
    await expect.poll(() => client.heard.at(-1)).toBe("a.c again");
    expect(client.heard).toHaveLength(2);
    expect(proxy.connections).toBe(2);
  });

  it("keeps to itself what other servers there are", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.write('INFO {"server_id":"x","connect_urls":["10.0.0.1:4222"],"headers":true}\r\n');
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    await using proxy = await startNatsProxy({ port: (server.address() as AddressInfo).port });
    const socket = connectTcp(proxy.port, "127.0.0.1");
    const [info] = (await once(socket, "data")) as [Buffer];
    expect(info.toString()).toBe('INFO {"server_id":"x","headers":true}\r\n');
    socket.destroy();
    server.close();
  });
});
