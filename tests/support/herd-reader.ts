import { createHash, type Hash } from "node:crypto";
import { connect, type Socket } from "node:net";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import type { HerdPlan, HerdStart } from "./herd-protocol.ts";
import { NUMBER_AT, NUMBER_DIGITS } from "./numbered-event.ts";
import { clientFrame, FRAME, upgradeRequest, verifyUpgraded } from "./ws-wire.ts";

/** What a reader reports to its herd. */
export interface HerdListener {
  /** The upgrade was answered. */
  opened(reader: HerdReader): void;
  caughtUp(reader: HerdReader): void;
  /** It has counted as many events as it was to. */
  reached(reader: HerdReader): void;
  /** The connection ended; `code` is `undefined` if the reader itself cut it. */
  closed(reader: HerdReader, code: number | undefined, reason: string): void;
}

/** One for all sockets: a read is handled before the next one begins. */
const CHUNK = Buffer.allocUnsafeSlow(256 * 1024);
/** `{"type":"l…`: of all types that come here, control types included, only `log_entry` begins with an l. */
const TYPE_AT = '{"type":"'.length;
const EVENT_TYPE = "l".charCodeAt(0);
const ZERO = "0".charCodeAt(0);
/** An eventId has at most 128 characters and ends the envelope. */
const TAIL_BYTES = 144;

/**
 * A WebSocket client that only counts. Of each event it reads ten digits at a fixed place: the event's number in its channel.
 * That they are the numbers from the first one on without an exception proves that each event came once and in order; that
 * the rest of an event's bytes are right is proved by the digest of one reader, and by the number of bytes of all.
 */
export class HerdReader implements FrameSink {
  readonly index: number;
  readonly channel: string;
  /** The number of the event that is due. */
  next = 0;
  events = 0;
  bytes = 0;
  wrong = 0;
  firstWrong: string | undefined;
  gaps = 0;
  /** Where to tell the herd; to cut the connection. */
  target = Number.POSITIVE_INFINITY;
  cutTarget = Number.POSITIVE_INFINITY;
  isOpen = false;
  readonly #plan: HerdPlan;
  readonly #listener: HerdListener;
  readonly #digest: Hash | undefined;
  #socket: Socket | undefined;
  #frames: FrameReader | undefined;
  #handshake = "";
  #closeCode = 1006;
  #closeReason = "";
  #cutting = false;
  /** Where the last event ends in the chunk that is being read; its end is copied once a chunk. */
  #lastEnd = 0;
  #chunk: Buffer = CHUNK;
  readonly #tail = Buffer.allocUnsafe(TAIL_BYTES);
  #tailBytes = 0;

  constructor(index: number, plan: HerdPlan, listener: HerdListener) {
    this.index = index;
    this.channel = plan.channels[index] as string;
    this.#plan = plan;
    this.#listener = listener;
    if (index === 0) this.#digest = createHash("sha1");
  }

  get digest(): string {
    return this.#digest?.copy().digest("hex") ?? "";
  }

  dial(): void {
    this.#frames = undefined;
    this.#handshake = "";
    this.#closeCode = 1006;
    this.#closeReason = "";
    this.#cutting = false;
    const socket = connect({
      host: "127.0.0.1",
      port: this.#plan.port,
      onread: {
        buffer: CHUNK,
        callback: (length) => {
          if (this.#socket === socket) this.#read(CHUNK.subarray(0, length));
          return true;
        },
      },
    });
    this.#socket = socket;
    socket.on("error", (error) => {
      this.#closeReason ||= error.message;
    });
    socket.on("close", () => {
      if (this.#socket === socket) this.#ended();
    });
    socket.write(upgradeRequest(this.#plan));
  }

  subscribe(start: HerdStart): void {
    const { next, ...from } = start;
    if (next !== undefined) this.next = next;
    this.#socket?.write(
      clientFrame(FRAME.text, Buffer.from(JSON.stringify({ type: "subscribe", channel: this.channel, ...from }))),
    );
  }

  /** Goes on behind the last event that it has counted. */
  continue(): void {
    const id = /"eventId":"([^"]+)"\}$/.exec(this.#tail.toString("latin1", 0, this.#tailBytes))?.[1];
    this.subscribe(id === undefined ? {} : { lastEventId: id });
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  cut(): void {
    this.#cutting = true;
    this.#socket?.resetAndDestroy();
  }

  envelope(bytes: Buffer, start: number, end: number): void {
    // What is in the chunk behind the place of the cut counts as not received.
    if (this.#cutting) return;
    if (bytes[start + TYPE_AT] !== EVENT_TYPE) return this.#control(bytes.toString("utf8", start, end));
    let number = 0;
    for (let at = start + NUMBER_AT; at < start + NUMBER_AT + NUMBER_DIGITS; at++) {
      number = number * 10 + (bytes[at] as number) - ZERO;
    }
    if (number !== this.next) {
      this.#object(`reader ${this.index}: event ${number} came where ${this.next} was due`);
    }
    this.next = number + 1;
    this.events++;
    this.bytes += end - start;
    this.#digest?.update(bytes.subarray(start, end));
    if (bytes === this.#chunk) this.#lastEnd = end;
    else this.#keepTail(bytes, start, end);
    if (this.events >= this.target) {
      this.target = Number.POSITIVE_INFINITY;
      this.#listener.reached(this);
    }
    if (this.events >= this.cutTarget) {
      this.cutTarget = Number.POSITIVE_INFINITY;
      this.cut();
    }
  }

  ping(payload: Buffer): void {
    this.#socket?.write(clientFrame(FRAME.pong, payload));
  }

  close(code: number, reason: string): void {
    this.#closeCode = code;
    this.#closeReason = reason;
    this.#socket?.end(clientFrame(FRAME.close, Buffer.from([code >> 8, code & 0xff])));
  }

  #read(chunk: Buffer): void {
    try {
      if (this.#frames === undefined) {
        const rest = this.#upgraded(chunk);
        if (rest === undefined || rest.length === 0) return;
        chunk = rest;
      }
      this.#chunk = chunk;
      this.#lastEnd = 0;
      this.#frames?.read(chunk);
      if (this.#lastEnd > 0) this.#keepTail(chunk, 0, this.#lastEnd);
    } catch (error) {
      this.#object(`reader ${this.index}: ${error instanceof Error ? error.message : String(error)}`);
      this.#socket?.resetAndDestroy();
    }
  }

  /** The bytes behind the head of the answer, once all of it is there. */
  #upgraded(chunk: Buffer): Buffer | undefined {
    const before = this.#handshake.length;
    this.#handshake += chunk.toString("latin1");
    const end = this.#handshake.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    verifyUpgraded(this.#handshake.slice(0, end), this.#plan);
    this.#frames = new FrameReader(this, this.#plan.protocol === "kata.v1.ndjson");
    this.isOpen = true;
    this.#listener.opened(this);
    return chunk.subarray(end + 4 - before);
  }

  #control(text: string): void {
    const { type, payload } = JSON.parse(text) as { type: string; payload: { recovery?: string } };
    if (type === "caught_up") this.#listener.caughtUp(this);
    else if (type === "subscribed" && payload.recovery === "gap") this.gaps++;
    else if (type === "error") this.#object(`reader ${this.index}: ${text}`);
  }

  #keepTail(bytes: Buffer, start: number, end: number): void {
    // An event that began in an earlier chunk is whole in memory of its own, so the tail never spans two.
    this.#tailBytes = bytes.copy(this.#tail, 0, Math.max(start, end - TAIL_BYTES), end);
  }

  #object(what: string): void {
    this.wrong++;
    this.firstWrong ??= what;
  }

  #ended(): void {
    this.isOpen = false;
    this.#socket = undefined;
    this.#listener.closed(this, this.#cutting ? undefined : this.#closeCode, this.#closeReason);
  }
}
