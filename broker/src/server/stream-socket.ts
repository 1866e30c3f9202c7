import type { HttpResponse } from "uWebSockets.js";
import type { Reader } from "../delivery/subscription.ts";
import { NOTHING } from "./event-stream.ts";
import type { FanOut } from "./fan-out.ts";

/**
 * uWebSockets.js tells of a chunked response only whether it holds anything back, and closes one that holds something and
 * was not written to for ten seconds, which a slow reader is no reason for.
 */
export const NUDGE_MS = 4_000;
/** What is written at a time: that the response has taken a piece is progress, however slow its reader is. */
const PIECE_BYTES = 32 * 1024;

/** A streamed response as a socket. It keeps what the response does not take at once, so that it knows how much that is. */
export class StreamSocket implements Reader {
  readonly #res: HttpResponse;
  readonly #fanOut: FanOut;
  readonly #onDrain: () => void;
  readonly #nothing: Buffer;
  readonly #onWritten: (() => void) | undefined;
  readonly #topics = new Set<string>();
  #queue: Buffer[] = [];
  #queued = 0;
  /** Bytes of the write that the response has not taken whole; 0 if it takes more. */
  #held = 0;
  #open = true;
  #nudgedAt = 0;

  /**
   * @param nothing what can be written where there is nothing to say; default a comment
   * @param onWritten called after whatever was written, and whenever it was: what is not taken makes the socket be read again, paused or not
   */
  constructor(
    res: HttpResponse,
    fanOut: FanOut,
    onDrain: () => void,
    { nothing = NOTHING, onWritten }: { readonly nothing?: Buffer; readonly onWritten?: () => void } = {},
  ) {
    this.#res = res;
    this.#fanOut = fanOut;
    this.#onDrain = onDrain;
    this.#nothing = nothing;
    this.#onWritten = onWritten;
    // Only a write makes the response send what it holds back. A request that is paused is writable, too, and holds nothing.
    res.onWritable(() => this.#held === 0 || (this.#write(this.#little()) && this.#flush()));
  }

  send(frame: Buffer): void {
    if (!this.#open) return;
    let at = 0;
    for (; at < frame.length && this.#held === 0; at += PIECE_BYTES) this.#write(frame.subarray(at, at + PIECE_BYTES));
    if (at < frame.length) this.#enqueue(frame.subarray(at));
  }

  batch(work: () => void): void {
    // A frame holds all events of a record: there is little to gather.
    work();
  }

  buffered(): number {
    return this.#queued + this.#held;
  }

  join(topic: string): void {
    if (!this.#open) return;
    this.#topics.add(topic);
    this.#fanOut.join(topic, this);
  }

  leave(topic: string): void {
    this.#topics.delete(topic);
    this.#fanOut.leave(topic, this);
  }

  /** Keeps a response alive whose reader is slow, and finds out whether it has taken some: at most every so many ms. */
  nudge(now: number, everyMs: number): void {
    if (!this.#open || this.#held === 0 || now - this.#nudgedAt < everyMs) return;
    this.#nudgedAt = now;
    if (this.#write(this.#little())) this.#flush();
  }

  /** Ends the response; what it still holds is given up, the client resumes. */
  end(): void {
    if (!this.#open) return;
    const taken = this.#held === 0;
    this.closed();
    if (taken) this.#res.cork(() => this.#res.end());
    else this.#res.close();
  }

  /** The response is gone, and must not be used any more. */
  closed(): void {
    this.#open = false;
    for (const topic of this.#topics) this.#fanOut.leave(topic, this);
    this.#topics.clear();
    this.#queue = [];
    this.#queued = 0;
    this.#held = 0;
  }

  /** As little as can be written: of what waits, for it goes on in the middle of a frame, where a comment would end it. */
  #little(): Buffer {
    const first = this.#queue[0];
    if (first === undefined) return this.#nothing;
    if (first.length === 1) this.#queue.shift();
    else this.#queue[0] = first.subarray(1);
    this.#queued--;
    return first.subarray(0, 1);
  }

  #enqueue(frame: Buffer): void {
    this.#queue.push(frame);
    this.#queued += frame.length;
  }

  /** Whether the response took it, and takes more. */
  #write(frame: Buffer): boolean {
    let taken = false;
    this.#res.cork(() => {
      taken = this.#res.write(frame);
    });
    this.#held = taken ? 0 : Math.max(this.#held, frame.length);
    this.#onWritten?.();
    return taken;
  }

  /** Gives the response what waits, as far as it takes it. */
  #flush(): boolean {
    const queue = this.#queue;
    this.#queue = [];
    this.#queued = 0;
    for (const frame of queue) this.send(frame);
    this.#onDrain();
    return this.#open && this.#held === 0;
  }
}
