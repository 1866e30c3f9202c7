import { isUtf8 } from "node:buffer";
import { ERRORS, type OutboundMessage } from "@kata/protocol";
import type { Random } from "../support/random.ts";
import { below, chance, noise, pick, pieces, shown, weighted } from "./choice.ts";
import { CommandSource, type Tokens } from "./commands.ts";
import {
  type Expected,
  expectedOf,
  isErrorCode,
  MAX_COMMAND_BYTES,
  MAX_FRAME_BYTES,
  type Unanswered,
} from "./frame-oracle.ts";
import { frameOf, HandmadeWebSocket } from "./web-socket.ts";

const FIN = 0x80;
const CONTINUATION = 0x0;
const TEXT = 0x1;
const BINARY = 0x2;
const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;

/** One input: what is written, and what has to come back. */
interface Input {
  readonly bytes: Buffer;
  readonly said: string;
  readonly expected?: Expected;
  /** The payload of the WebSocket pong that answers it. */
  readonly pong?: string;
  /** The connection ends with it: the codes that a close frame may have, if one comes. */
  readonly ends?: readonly number[];
}

/** Frames sent before the next answers are waited for. */
const BATCH = 64;
/** A connection is left after so many, so that what is kept of a connection shows, too. */
const LIFE = 800;

/** What is no WebSocket frame, or too much of one, is ended by the WebSocket layer, mostly without a close frame. */
const VIOLATION = [1002, 1007, 1009];

/** One client after the other, each sending whatever it likes and checking every answer. */
export class FrameFuzzer {
  readonly #random: Random;
  readonly #source: CommandSource;
  readonly #tokens: Tokens;
  readonly #port: number;
  #sent = 0;
  #socket: HandmadeWebSocket | undefined;
  #life = 0;
  readonly #subscribed = new Set<string>();
  #positions: string[] = [];
  /** Connections that the broker had to end. */
  endings = 0;

  constructor(random: Random, port: number, tokens: Tokens) {
    this.#random = random;
    this.#port = port;
    this.#tokens = tokens;
    this.#source = new CommandSource(random, tokens);
  }

  /** @throws Error for the first frame that was not answered as it should */
  async run(count: number): Promise<void> {
    const until = this.#sent + count;
    while (this.#sent < until) await this.#batch(Math.min(BATCH, until - this.#sent));
  }

  async close(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    // Some take their leave, some are gone.
    if (chance(this.#random, 0.5)) {
      socket.socket.write(frameOf(FIN | CLOSE, Buffer.from([0x03, 0xe8])));
      await socket.end("a close frame");
    } else socket.socket.destroy();
  }

  async #batch(count: number): Promise<void> {
    const socket = await this.#open();
    const inputs: Input[] = [];
    let last: Input | undefined;
    const used = new Set<string>();
    const unanswered = { subscribe: 0, unsubscribe: 0 };
    while (inputs.length < count && last === undefined) {
      const input = this.#input(unanswered);
      const { channel, command } = input.expected ?? {};
      // While a command about a channel is not answered, the answer to another one is open.
      if (channel !== undefined && used.has(channel)) continue;
      if (channel !== undefined) used.add(channel);
      if (command?.type === "subscribe" || command?.type === "unsubscribe") unanswered[command.type]++;
      if (input.ends === undefined) inputs.push(input);
      else last = input;
    }
    const bytes = Buffer.concat(inputs.map((input) => input.bytes));
    for (const piece of pieces(this.#random, bytes, chance(this.#random, 0.2) ? 12 : 1)) socket.socket.write(piece);
    await this.#answered(socket, inputs);
    this.#sent += inputs.length;
    this.#life -= inputs.length;
    if (last !== undefined) await this.#finish(socket, last);
    else if (this.#life <= 0) await this.close();
  }

  /** By itself: what was sent before in the same breath may be answered no more. */
  async #finish(socket: HandmadeWebSocket, last: Input): Promise<void> {
    this.#sent++;
    this.#socket = undefined;
    socket.socket.write(last.bytes);
    const { code } = await socket.end(last.said);
    if (code !== undefined && last.ends?.includes(code) !== true)
      throw new Error(`closed with ${code} after ${last.said}`);
    this.endings++;
  }

  async #open(): Promise<HandmadeWebSocket> {
    if (this.#socket !== undefined) return this.#socket;
    const protocol = chance(this.#random, 0.5) ? "kata.v1" : "kata.v1.ndjson";
    this.#socket = await HandmadeWebSocket.open(this.#port, this.#tokens.own, protocol);
    this.#life = LIFE / 2 + below(this.#random, LIFE);
    this.#subscribed.clear();
    return this.#socket;
  }

  async #answered(socket: HandmadeWebSocket, inputs: readonly Input[]): Promise<void> {
    const awaited = inputs.filter((input) => input.expected !== undefined);
    const said = () => inputs.map((input) => input.said).join("\n  ");
    const pongs = inputs.flatMap(({ pong }) => pong ?? []);
    try {
      await socket.until(
        `${awaited.length} replies and ${pongs.length} pongs`,
        () => socket.replies.length >= awaited.length && socket.pongs.length >= pongs.length,
      );
    } catch (error) {
      const got = socket.replies.map((reply) => JSON.stringify(reply.payload).slice(0, 120));
      throw new Error(`${(error as Error).message}; got\n  ${got.join("\n  ")}\nto\n  ${said()}`);
    }
    if (socket.pongs.join() !== pongs.join()) throw new Error(`pongs ${socket.pongs.join()} to\n  ${said()}`);
    socket.pongs.length = 0;
    this.#match(awaited, socket.replies.splice(0));
  }

  /** Gives each input its reply: by id, channel and code. Whoever has fewer that are right chooses first. */
  #match(inputs: readonly Input[], replies: OutboundMessage[]): void {
    const left = [...inputs].sort((a, b) => choices(a) - choices(b));
    for (const reply of replies) {
      const at = left.findIndex(({ expected }) => expected !== undefined && answers(reply, expected));
      const input = left[at];
      if (input?.expected === undefined) {
        const open = left.map(({ said, expected }) => `${expected?.answers.join("|")}: ${said}`).join("\n  ");
        throw new Error(`nobody asked for ${JSON.stringify(reply)}; not answered are\n  ${open}`);
      }
      left.splice(at, 1);
      const { channel } = input.expected;
      if (channel === undefined) continue;
      if (reply.type === "subscribed") {
        this.#subscribed.add(channel);
        this.#positions = [...this.#positions.slice(-50), reply.eventId];
      } else if (reply.type === "unsubscribed") this.#subscribed.delete(channel);
    }
  }

  #input(unanswered: Unanswered): Input {
    const random = this.#random;
    return weighted<Input>(random, [
      [100, () => this.#text(this.#source.next(this.#positions), unanswered)],
      [4, () => this.#whole(BINARY, this.#source.next(this.#positions), unanswered)],
      [1, () => this.#whole(BINARY, noise(random, below(random, 300)), unanswered)],
      [2, () => ping(noise(random, below(random, 126)))],
      [1, () => pongOf(noise(random, below(random, 126)))],
      [0.2, () => this.#whole(TEXT, Buffer.alloc(MAX_COMMAND_BYTES + 1 + below(random, 4_000), 0x20), unanswered)],
      [0.02, () => this.#whole(TEXT, Buffer.alloc(MAX_FRAME_BYTES, 0x5b), unanswered)],
      [0.4, () => ending(random, this.#source.next(this.#positions))],
    ]);
  }

  #text(payload: Buffer, unanswered: Unanswered): Input {
    if (isUtf8(payload)) return this.#whole(TEXT, payload, unanswered);
    // What is not UTF-8 costs the connection (RFC 6455, 8.1): most are made text, or there would be few long lives.
    if (chance(this.#random, 0.03))
      return { bytes: frameOf(FIN | TEXT, payload), said: shown(payload), ends: VIOLATION };
    return this.#whole(TEXT, Buffer.from(payload.toString("utf8")), unanswered);
  }

  /** A message, sometimes in fragments, with a ping among them. */
  #whole(opcode: number, payload: Buffer, unanswered: Unanswered): Input {
    const random = this.#random;
    const { bytes, pong } = chance(random, 0.05)
      ? fragmented(random, opcode, payload)
      : { bytes: frameOf(FIN | opcode, payload, { mask: below(random, 2 ** 32) }) };
    const standing = { tokens: this.#tokens, subscribed: this.#subscribed, unanswered };
    return {
      bytes,
      said: `${opcode === TEXT ? "text" : "binary"} ${shown(payload)}`,
      expected: expectedOf(payload, opcode === BINARY, standing),
      ...(pong === undefined ? {} : { pong }),
    };
  }
}

function fragmented(random: Random, opcode: number, payload: Buffer): { bytes: Buffer; pong?: string } {
  const parts = pieces(random, payload, 6);
  const frames = parts.map((part, i) =>
    frameOf((i === parts.length - 1 ? FIN : 0) | (i === 0 ? opcode : CONTINUATION), part),
  );
  if (parts.length < 2 || chance(random, 0.5)) return { bytes: Buffer.concat(frames) };
  const pong = noise(random, below(random, 10));
  frames.splice(1 + below(random, frames.length - 1), 0, frameOf(FIN | PING, pong));
  return { bytes: Buffer.concat(frames), pong: pong.toString("latin1") };
}

function ping(payload: Buffer): Input {
  return {
    bytes: frameOf(FIN | PING, payload),
    said: `ping ${shown(payload)}`,
    pong: payload.toString("latin1"),
  };
}

function pongOf(payload: Buffer): Input {
  return { bytes: frameOf(FIN | PONG, payload), said: `pong ${shown(payload)}` };
}

/** What no client may send, and what ends a connection rightly. */
function ending(random: Random, payload: Buffer): Input {
  // A header with a mask has six bytes: of less, nobody can tell what it will be.
  const text = Buffer.concat([Buffer.from("      "), payload.subarray(0, 100)]);
  const end = (what: string, bytes: Buffer, ends: readonly number[] = VIOLATION): Input => ({
    bytes,
    said: `${what} ${shown(bytes)}`,
    ends,
  });
  const first = (bits: number) => frameOf(bits, text);
  return weighted<Input>(random, [
    [1, () => end("reserved bits", first(FIN | (pick(random, [1, 2, 4, 7]) << 4) | TEXT))],
    [1, () => end("an unknown opcode", first(FIN | pick(random, [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf])))],
    [1, () => end("a continuation of nothing", first(FIN | CONTINUATION))],
    [1, () => end("a message within a message", Buffer.concat([first(TEXT), first(FIN | TEXT)]))],
    [1, () => end("a long ping", frameOf(FIN | PING, noise(random, 126 + below(random, 300))))],
    [1, () => end("a fragmented ping", first(PING))],
    [1, () => end("more than a frame may be", frameOf(FIN | TEXT, text, { length: MAX_FRAME_BYTES + 1 }))],
    [
      1,
      () =>
        end("more than there is", frameOf(FIN | BINARY, text, { length: 2n ** BigInt(40 + below(random, 24)) - 1n })),
    ],
    [1, () => end("more than a message may be", Buffer.concat(tooMuch()))],
    [1, () => end("broken UTF-8", frameOf(FIN | TEXT, Buffer.concat([text, Buffer.from([0xed, 0xa0, 0x80])])))],
    // The WebSocket layer does not look at the bit, takes four bytes for the mask, and then it is no UTF-8.
    [1, () => end("no mask", Buffer.concat([Buffer.from([FIN | TEXT, text.length]), text, Buffer.alloc(8, 0xff)]))],
    [2, () => end("a close frame", frameOf(FIN | CLOSE, closing(random)), [1000, 1005, ...VIOLATION, ...CODES])],
    [1, () => end("HTTP", Buffer.from("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))],
  ]);
}

const CODES = [1000, 1001, 3000, 4000, 4999] as const;

function closing(random: Random): Buffer {
  const code = Buffer.alloc(2);
  code.writeUInt16BE(pick(random, [...CODES, 0, 999, 1004, 1005, 1006, 1015, 5000, 65_535]));
  return pick(random, [
    Buffer.alloc(0),
    Buffer.from([3]),
    code,
    Buffer.concat([code, noise(random, below(random, 123))]),
  ]);
}

function tooMuch(): Buffer[] {
  const half = Buffer.alloc(MAX_FRAME_BYTES / 2 + 1, 0x20);
  return [frameOf(TEXT, half), frameOf(FIN | CONTINUATION, half)];
}

function choices({ expected }: Input): number {
  return expected?.answers.length ?? 0;
}

/** Whether a reply is the right one, and well made [ERROR-1] [ERROR-2]. */
function answers(reply: OutboundMessage, { answers: right, id, channel }: Expected): boolean {
  const payload = reply.payload as Readonly<Record<string, unknown>>;
  const answer = reply.type === "error" ? String(payload.code) : reply.type;
  // JSON knows no -0.
  if (!right.includes(answer) || JSON.stringify(payload.id) !== JSON.stringify(id)) return false;
  if (!isErrorCode(answer)) return channel === undefined || ("channel" in reply && reply.channel === channel);
  const { message, retryable } = payload;
  const wellMade = typeof message === "string" && message !== "" && !message.includes("\n");
  return wellMade && retryable === ERRORS[answer].retryable && payload.channel === channel;
}
