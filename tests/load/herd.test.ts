import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { FrameReader } from "../support/frame-reader.ts";
import { startHerd } from "../support/herd.ts";
import { numberedEvent } from "../support/numbered-event.ts";
import { FRAME } from "../support/ws-wire.ts";

// The load tests believe what the herd says; here it has to notice what a broken broker would do.

const { text: TEXT, close: CLOSE, ping: PING } = FRAME;

function frame(first: number, payload: string | Buffer): Buffer {
  const body = Buffer.from(payload as string);
  const header = Buffer.alloc(body.length < 126 ? 2 : body.length < 65_536 ? 4 : 10);
  header[0] = first;
  header[1] = header.length === 2 ? body.length : header.length === 4 ? 126 : 127;
  if (header.length === 4) header.writeUInt16BE(body.length, 2);
  if (header.length === 10) header.writeBigUInt64BE(BigInt(body.length), 2);
  return Buffer.concat([header, body]);
}

function envelope(number: number): string {
  const { type, payload } = numberedEvent(number, 230);
  const place = { channel: "agent:x", eventId: `abc-${number + 1}-0000` };
  return JSON.stringify({ type, timestamp: new Date().toISOString(), encoding: "json", payload, ...place });
}

function control(type: string, payload: object = {}): Buffer {
  const timestamp = new Date().toISOString();
  return frame(TEXT, JSON.stringify({ type, timestamp, eventId: "0-0-0000", encoding: "json", payload }));
}

describe("the reader of frames", () => {
  const lengths = [0, 1, 10, 125, 126, 127, 10_240, 65_535, 65_536, 70_000];

  it("finds frames of every length, however the bytes are cut", () => {
    const payloads = lengths.map((length) => "x".repeat(length));
    const bytes = Buffer.concat([...payloads.map((each) => frame(TEXT, each)), frame(PING, "p"), frame(CLOSE, "")]);
    for (const size of [1, 2, 3, 7, 64, 1_000, 65_536, bytes.length]) {
      const found: string[] = [];
      const reader = new FrameReader(
        {
          envelope: (piece, start, end) => found.push(piece.toString("latin1", start, end)),
          ping: (payload) => found.push(`ping ${payload}`),
          close: (code) => found.push(`close ${code}`),
        },
        false,
      );
      for (let at = 0; at < bytes.length; at += size) reader.read(bytes.subarray(at, at + size));
      expect(found).toEqual([...payloads, "ping p", "close 1005"]);
    }
  });

  it("finds the lines of frames with several, however the bytes are cut", () => {
    const frames = [["a"], ["b".repeat(300), "c", "d".repeat(10)], ["e"], ["f", "g".repeat(70_000), "h"]];
    const bytes = Buffer.concat(frames.map((lines) => frame(TEXT, lines.join("\n"))));
    for (const size of [1, 2, 3, 5, 7, 10, 64, 302, 1_000, bytes.length]) {
      const found: string[] = [];
      const sink = {
        envelope: (piece: Buffer, start: number, end: number) => found.push(piece.toString("latin1", start, end)),
        ping: () => undefined,
        close: () => undefined,
      };
      const reader = new FrameReader(sink, true);
      for (let at = 0; at < bytes.length; at += size) reader.read(bytes.subarray(at, at + size));
      expect(found).toEqual(frames.flat());
    }
  });
});

describe("a herd", () => {
  const numbers = (...list: number[]) => list.map((number) => frame(TEXT, envelope(number)));
  const begin = [control("subscribed", { recovery: "fresh" }), control("caught_up")];

  it.each([
    ["a lost event", numbers(0, 2), 1, "event 2 came where 1 was due"],
    ["a doubled event", numbers(0, 1, 1, 2), 1, "event 1 came where 2 was due"],
    ["swapped events", numbers(0, 2, 1), 2, "event 2 came where 1 was due"],
    ["an error", [control("error", { code: "internal" })], 1, "internal"],
    ["what is no event", [frame(TEXT, '{"type":"log_entry"}')], 1, "event NaN came where 0 was due"],
    ["bytes that are no frame", [Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")], 1, "no frame of a broker"],
  ])("notices %s", async (_what, frames, wrong, first) => {
    await using server = await startScript((socket) => void socket.write(Buffer.concat([...begin, ...frames])));
    await using herd = await startHerd({ ...server.plan, channels: ["agent:x"] });
    await herd.subscribe();
    await expect.poll(() => herd.status()).toMatchObject({ wrong });
    expect((await herd.status()).firstWrong).toContain(first);
  });

  it("finds nothing wrong where all is right", async () => {
    await using server = await startScript(
      (socket) => void socket.write(Buffer.concat([...begin, ...numbers(0, 1, 2, 3)])),
    );
    await using herd = await startHerd({ ...server.plan, channels: ["agent:x", "agent:y"] });
    const whole = herd.reached(4);
    await herd.subscribe();
    await whole;
    const { bytes, digest, ...counts } = await herd.status();
    expect(counts).toEqual({ open: 2, events: 8, fewest: 4, most: 4, wrong: 0, gaps: 0, closes: {} });
    expect(bytes).toBe(8 * Buffer.byteLength(envelope(0)));
    expect(digest).toMatch(/^[0-9a-f]{40}$/);
  });

  it("notices a gap, a close with its code, and answers pings", async () => {
    await using server = await startScript((socket) => {
      socket.write(
        Buffer.concat([control("subscribed", { recovery: "gap" }), control("caught_up"), frame(PING, "hi")]),
      );
    });
    await using herd = await startHerd({ ...server.plan, channels: ["agent:x"] });
    await herd.subscribe();
    // Masked with zeros: FIN and pong, masked and two bytes long.
    await server.receives(Buffer.from([0x8a, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
    expect(await herd.status()).toMatchObject({ open: 1, gaps: 1, closes: {} });
    const waiting = herd.reached(1);
    server.send(frame(CLOSE, Buffer.from([0x11, 0x39, 0x6e, 0x6f])));
    await expect(waiting).rejects.toThrow("reader 0 was closed with 4409 no");
    expect(await herd.status()).toMatchObject({ open: 0, closes: { 4409: 1 } });
  });

  it("cuts itself at an event, and goes on behind it with that event's id", async () => {
    await using server = await startScript(
      (socket) => void socket.write(Buffer.concat([...begin, ...numbers(0, 1, 2)])),
    );
    await using herd = await startHerd({ ...server.plan, channels: ["agent:x"] });
    const left = herd.cutAt([2]);
    await herd.subscribe();
    await left;
    expect(await herd.status()).toMatchObject({ open: 0, events: 2, wrong: 0, closes: {} });
    await herd.redial();
    const whole = herd.reached(3);
    await herd.continue();
    // The script sends everything again, whatever it is asked for.
    await server.receives(Buffer.from('"lastEventId":"abc-2-0000"'));
    await whole;
    expect((await herd.status()).firstWrong).toContain("event 0 came where 2 was due");
  });
});

/** A WebSocket server of a few lines: it says what the test wants once it is asked to subscribe. */
async function startScript(onSubscribe: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  let received = Buffer.alloc(0);
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (chunk.includes("GET /ws")) {
        socket.write(
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: kata.v1\r\n" +
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
      } else if (chunk.includes("subscribe")) onSubscribe(socket);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    plan: { port: (server.address() as AddressInfo).port, apiKey: "key", protocol: "kata.v1" } as const,
    receives: (bytes: Buffer) => expect.poll(() => received.includes(bytes)).toBe(true),
    send: (bytes: Buffer) => {
      for (const socket of sockets) if (!socket.destroyed) socket.write(bytes);
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
