import type { Reader } from "../delivery/subscription.ts";
import type { Topics } from "./delivery-rig.ts";

export interface ModelMessage {
  readonly type: string;
  readonly channel?: string;
  readonly eventId: string;
  readonly payload: unknown;
}

interface Unsent {
  readonly message: ModelMessage;
  readonly event: boolean;
  /** Bytes that the other side has not taken; what it took only a part of it cannot read yet. */
  bytes: number;
}

export interface ModelSocketOptions {
  readonly topics: Topics;
  /** Called in the moment a message is given to the socket, before the other side has it. */
  readonly onSent: (message: ModelMessage) => void;
  readonly onReceived: (message: ModelMessage) => void;
  /** The other side took bytes that were waiting. */
  readonly onDrained: () => void;
}

/** A socket whose other side takes everything at once, or, while it is slow, as many bytes as a test says. */
export class ModelSocket implements Reader {
  readonly #options: ModelSocketOptions;
  #unsent: Unsent[] = [];
  #bytes = 0;
  #slow = false;
  #open = true;

  constructor(options: ModelSocketOptions) {
    this.#options = options;
  }

  get open(): boolean {
    return this.#open;
  }

  send(frame: Buffer): void {
    if (!this.#open) return;
    // Several envelopes are a line each [CONNECT-3].
    for (const line of linesOf(frame)) this.say(parse(line), line.length);
  }

  /** Sends a message of so many bytes. */
  say(message: ModelMessage, bytes: number): void {
    if (!this.#open) return;
    this.#options.onSent(message);
    if (!this.#slow && this.#unsent.length === 0) return this.#options.onReceived(message);
    this.#unsent.push({ message, event: message.type === "own", bytes });
    this.#bytes += bytes;
  }

  batch(work: () => void): void {
    work();
  }

  buffered(): number {
    return this.#bytes;
  }

  /** Bytes of events among what was not taken. */
  get unsentEvents(): number {
    return this.#unsent.reduce((sum, { event, bytes }) => sum + (event ? bytes : 0), 0);
  }

  join(topic: string): void {
    if (this.#open) this.#options.topics.join(topic, this);
  }

  leave(topic: string): void {
    if (this.#open) this.#options.topics.leave(topic, this);
  }

  /** From now on the other side takes nothing by itself. */
  slow(): void {
    this.#slow = true;
  }

  fast(): void {
    this.#slow = false;
    this.take(Number.POSITIVE_INFINITY);
  }

  take(bytes: number): void {
    if (!this.#open || this.#unsent.length === 0) return;
    let left = bytes;
    while (left > 0) {
      const next = this.#unsent[0];
      if (next === undefined) break;
      const taken = Math.min(left, next.bytes);
      left -= taken;
      next.bytes -= taken;
      this.#bytes -= taken;
      if (next.bytes > 0) break;
      this.#unsent.shift();
      this.#options.onReceived(next.message);
    }
    this.#options.onDrained();
  }

  /** What was not taken is lost; nothing that is done to it afterwards has an effect. */
  close(): void {
    this.#open = false;
    this.#unsent = [];
    this.#bytes = 0;
    this.#options.topics.forget(this);
  }
}

const LINE_FEED = 0x0a;

function linesOf(frame: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let at = frame.indexOf(LINE_FEED); at >= 0; at = frame.indexOf(LINE_FEED, start)) {
    lines.push(frame.subarray(start, at));
    start = at + 1;
  }
  lines.push(frame.subarray(start));
  return lines;
}

/** What stands at the ends of a long envelope is all that is looked at: what fills it says nothing. */
const ENDS = 200;

function parse(line: Buffer): ModelMessage {
  if (line.length <= 2 * ENDS) return JSON.parse(line.toString("utf8")) as ModelMessage;
  const head = line.toString("utf8", 0, ENDS).replace(/x*$/, "");
  return JSON.parse(head + line.toString("utf8", line.length - ENDS).replace(/^x*/, "")) as ModelMessage;
}
