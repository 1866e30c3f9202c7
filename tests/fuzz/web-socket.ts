import { connect, type Socket } from "node:net";
import { type OutboundMessage, OutboundMessageSchema } from "@kata/protocol";
import { FrameReader } from "../support/frame-reader.ts";
import { upgradeRequest, verifyUpgraded } from "../support/ws-wire.ts";

/** How long an answer may take before it counts as silence, milliseconds: much longer than a busy machine needs. */
export const SILENCE_MS = 30_000;

export interface Ending {
  /** What the broker's close frame said; absent if there was none. */
  readonly code?: number;
}

const CONTROL_TYPES = new Set([
  "subscribed",
  "unsubscribed",
  "error",
  "pong",
  "authenticated",
  "caught_up",
  "reconnect",
]);

/** A frame as a client sends it (RFC 6455, 5.2), also one that none may send: `length` is what its header says. */
export function frameOf(
  first: number,
  payload: Buffer,
  { mask = 0x9d3a6c51, length = payload.length }: { mask?: number; length?: number | bigint } = {},
): Buffer {
  const size = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.alloc(size + 4 + payload.length);
  frame[0] = first;
  frame[1] = 0x80 | (size === 2 ? Number(length) : size === 4 ? 126 : 127);
  if (size === 4) frame.writeUInt16BE(Number(length), 2);
  if (size === 10) frame.writeBigUInt64BE(BigInt(length), 2);
  frame.writeUInt32BE(mask >>> 0, size);
  for (let i = 0; i < payload.length; i++) {
    frame[size + 4 + i] = (payload[i] as number) ^ (frame[size + (i & 3)] as number);
  }
  return frame;
}

/** A WebSocket whose frames are written by hand. What comes is control messages, in order; events are let be. */
export class HandmadeWebSocket {
  readonly socket: Socket;
  readonly replies: OutboundMessage[] = [];
  readonly pongs: string[] = [];
  #ending: Ending | undefined;
  #code: number | undefined;
  #failure: Error | undefined;
  #wake: () => void = () => {};

  private constructor(socket: Socket, reader: FrameReader) {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => {
      try {
        reader.read(bytes);
      } catch (error) {
        this.#failure ??= error as Error;
      }
      this.#wake();
    });
    socket.on("close", () => {
      this.#ending = this.#code === undefined ? {} : { code: this.#code };
      this.#wake();
    });
  }

  /** @throws Error if the upgrade is refused */
  static async open(port: number, apiKey: string, protocol: "kata.v1" | "kata.v1.ndjson"): Promise<HandmadeWebSocket> {
    const upgrade = { port, apiKey, protocol };
    const socket = connect(port, "127.0.0.1");
    socket.setNoDelay(true);
    socket.write(upgradeRequest(upgrade));
    const rest = await new Promise<Buffer>((resolve, reject) => {
      let head = Buffer.alloc(0);
      const ended = () => reject(new Error(`the upgrade was not answered: ${head.toString("latin1")}`));
      socket.once("close", ended);
      socket.once("error", reject);
      socket.on("data", function take(bytes: Buffer) {
        head = Buffer.concat([head, bytes]);
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        socket.off("data", take);
        socket.off("close", ended);
        socket.pause();
        try {
          verifyUpgraded(head.toString("latin1", 0, end + 4), upgrade);
          resolve(head.subarray(end + 4));
        } catch (error) {
          reject(error);
        }
      });
    });
    // A broker that closes while it is written to resets the connection.
    socket.on("error", () => {});
    const opened: HandmadeWebSocket = new HandmadeWebSocket(
      socket,
      new FrameReader(
        {
          envelope: (bytes, start, end) => opened.#envelope(bytes.toString("utf8", start, end)),
          ping: (payload) => void socket.write(frameOf(0x8a, Buffer.from(payload))),
          pong: (payload) => opened.pongs.push(payload.toString("latin1")),
          close: (code) => {
            opened.#code = code;
          },
        },
        protocol === "kata.v1.ndjson",
      ),
    );
    if (rest.length > 0) socket.unshift(rest);
    socket.resume();
    return opened;
  }

  get ended(): Ending | undefined {
    return this.#ending;
  }

  /** @throws Error if it is not so in time, the connection has ended, or something came that is no message */
  async until(what: string, reached: () => boolean): Promise<void> {
    const deadline = performance.now() + SILENCE_MS;
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (reached()) return;
      if (this.#ending !== undefined) {
        throw new Error(`the connection was closed (${this.#ending.code ?? "no code"}), awaited: ${what}`);
      }
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`silence: ${what} did not come`);
      await this.#change(left);
    }
  }

  /** Resolves when the broker has ended it. @throws Error if it does not in time */
  async end(what: string): Promise<Ending> {
    await this.until(`the end after ${what}`, () => this.#ending !== undefined);
    return this.#ending as Ending;
  }

  #change(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #envelope(text: string): void {
    const json = JSON.parse(text) as { readonly type: string };
    // What is an event is proven elsewhere; here there are too many to look at each.
    if (!CONTROL_TYPES.has(json.type) || json.type === "caught_up") return;
    this.replies.push(OutboundMessageSchema.parse(json));
  }
}
