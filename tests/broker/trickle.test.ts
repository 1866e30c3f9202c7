import { connect, type Socket } from "node:net";
import { createPublisher } from "@kata/publisher";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startBroker, TEST_KEY, type TestBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";

let nats: TestNats;
let broker: TestBroker;

// The system says that a socket takes more when a third of its buffer is free, which is more than this reader takes in both times.
const config = { heartbeatIntervalMs: 500, heartbeatTimeoutMs: 3_000, stallTimeoutMs: 3_000 };

beforeEach(async () => {
  nats = await startNats();
  broker = await startBroker({ nats, config });
});

afterEach(async () => {
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

const CHANNEL = "agent:build";
const EVENTS = 1_000;
/** How long the reader is slow; several times what it may stand still. */
const SLOW_MS = 10_000;
const PAUSE_MS = 300;

async function publishMuch(): Promise<void> {
  const publisher = await createPublisher({ servers: nats.url, teamId: "demo" });
  const text = "x".repeat(20_000);
  for (let i = 0; i < EVENTS; i += 50) {
    const events = Array.from({ length: 50 }, (_, j) => {
      return { type: "log_entry", payload: { message: `${i + j}`, text } } as const;
    });
    await publisher.publishMany(CHANNEL, events);
  }
  await publisher.close();
}

/** Reads some 64 KiB, rests, and so on; later everything. */
function trickle(socket: Socket, onText: (text: string) => void): { hurry(): void } {
  let slow = true;
  socket.setEncoding("latin1");
  socket.on("data", (chunk: string) => {
    onText(chunk.replaceAll(/x{50,}/g, ""));
    if (!slow) return;
    socket.pause();
    setTimeout(() => socket.resume(), PAUSE_MS);
  });
  return {
    hurry() {
      slow = false;
    },
  };
}

const key = `x-api-key: ${TEST_KEY}`;
const REQUESTS = {
  "a WebSocket": `GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: kata.v1.ndjson\r\n${key}\r\n\r\n`,
  "an event stream": `GET /v1/channels/${CHANNEL}/stream?rewind=all HTTP/1.1\r\nhost: x\r\n${key}\r\n\r\n`,
} as const;

/** A client's text frame, masked with zeros. */
function textFrame(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
}

describe("attacks invariant 4: a reader that is slow, and takes some all the time, is not sent away", () => {
  it.each(["a WebSocket", "an event stream"] as const)("over %s; it gets every event once, in order", async (kind) => {
    await publishMuch();
    const socket = connect(broker.port, "127.0.0.1");
    let received = "";
    let closed = false;
    socket.on("error", () => undefined);
    socket.on("close", () => {
      closed = true;
    });
    const reading = trickle(socket, (text) => {
      received += text;
    });
    socket.write(REQUESTS[kind]);
    if (kind === "a WebSocket") {
      await expect.poll(() => received).toContain("\r\n\r\n");
      socket.write(textFrame(JSON.stringify({ type: "subscribe", channel: CHANNEL, rewind: "all" })));
    }
    const messages = () => [...received.matchAll(/"message":"(\d+)"/g)].map((match) => Number(match[1]));
    const until = performance.now() + SLOW_MS;
    while (performance.now() < until && !closed) {
      const before = messages().length;
      await expect.poll(() => closed || messages().length > before).toBe(true);
    }
    expect(closed).toBe(false);
    expect(messages().length).toBeLessThan(EVENTS);
    reading.hurry();
    await expect.poll(() => messages().length, { timeout: 20_000 }).toBe(EVENTS);
    expect(messages()).toEqual(Array.from({ length: EVENTS }, (_, i) => i));
    socket.destroy();
  });
});
