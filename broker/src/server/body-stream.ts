import type { HttpResponse } from "uWebSockets.js";
import { setTimeout as delay } from "node:timers/promises";
import { BodyBytes } from "./body-bytes.ts";

/**
 * uWebSockets.js closes a request of which fewer than some 16 KiB a second come for ten seconds; pausing and resuming it
 * begins those anew.
 */
const NUDGE_MS = 4_000;
/** How long the rest of a body is waited for that nobody wants any more, milliseconds. */
const REST_MS = 5_000;

/** What uWebSockets.js reads at a time, bytes: so much comes before a pause takes effect. */
export const READ_BYTES = 512 * 1024;

/**
 * A body of any length that is taken as it is wanted: while nobody asks for more, the socket is not read, and its client
 * has to wait. Holds what is read at a time, {@link READ_BYTES}. Must be made before anything is awaited.
 */
export class BodyStream {
  readonly #res: HttpResponse;
  readonly #bytes = new BodyBytes();
  #whole: boolean;
  #aborted = false;
  #dropped = false;
  #answered = false;
  #paused = false;
  #wake = (): void => undefined;
  #onAborted = (): void => undefined;
  #cameAt = performance.now();
  #nudgedAt = performance.now();

  /** @param length what the request announces; of an empty body uWebSockets.js says nothing where the head came in pieces */
  constructor(res: HttpResponse, length: number | undefined) {
    this.#res = res;
    this.#whole = length === 0;
    res.onAborted(() => {
      this.#aborted = true;
      this.#onAborted();
      this.#wake();
    });
    res.onData((chunk, isLast) => {
      this.#whole ||= isLast;
      this.#cameAt = performance.now();
      // Nothing may be paused any more of a request that has its answer.
      if (!this.#dropped && chunk.byteLength > 0) {
        // The chunk dies with this callback.
        this.#bytes.push(new Uint8Array(chunk));
        if (!isLast) this.#pause();
      }
      // What comes behind the body is not the body's to hold up.
      if (isLast) this.#resume();
      this.#wake();
    });
  }

  /** Whether the client is gone: the response must not be used any more. */
  get aborted(): boolean {
    return this.#aborted;
  }

  /** Whether all of it has come. */
  get whole(): boolean {
    return this.#whole;
  }

  /** Bytes that were read and not taken. */
  get held(): number {
    return this.#bytes.length;
  }

  /** What has come since, in one piece, `undefined` if nothing has; `whole` and `aborted` say whether more can come. */
  take(): Buffer | undefined {
    return this.#bytes.length === 0 ? undefined : this.#bytes.take();
  }

  /** Resolves when something has come, nothing more will, or {@link wake} is called. The socket is read meanwhile. */
  async more(): Promise<void> {
    if (this.held > 0 || this.#whole || this.#aborted) return;
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#resume();
    await woken;
  }

  /** Calls `listener` when the client is gone; it must not be by now. */
  onAborted(listener: () => void): void {
    this.#onAborted = listener;
  }

  /** Ends a wait for more. */
  wake(): void {
    this.#wake();
  }

  /** For how long nothing has come that was waited for, milliseconds; 0 if nothing more will. */
  silentMs(now: number): number {
    return this.#paused || this.#whole ? 0 : now - this.#cameAt;
  }

  /** Called often: keeps a request alive whose body comes slowly, or is not read for long. */
  nudge(now: number): void {
    if (this.#aborted || this.#answered || this.#whole || now - this.#nudgedAt < NUDGE_MS) return;
    this.#nudgedAt = now;
    this.#res.pause();
    if (!this.#paused) this.#res.resume();
  }

  /**
   * Keeps nothing of it any more. Resolves when the rest has come, too, or the client is gone, or five seconds are over: an answer that is
   * given before is often lost. Then the request is to be answered.
   */
  async drop(): Promise<void> {
    this.#forget();
    const over = new AbortController();
    const tooLong = delay(REST_MS, undefined, { signal: over.signal }).catch(() => undefined);
    let late = false;
    void tooLong.then(() => {
      late = true;
      this.#wake();
    });
    while (!this.#whole && !this.#aborted && !late) await this.more();
    over.abort();
    this.leave();
  }

  /** Keeps nothing of it any more, and waits for nothing: the request is to be answered now, whatever still comes. */
  leave(): void {
    this.#forget();
    if (!this.#aborted) this.#resume();
    this.#answered = true;
  }

  /** Called after each write to the response: one that is not taken whole makes uSockets read again what was paused. */
  stayPaused(): void {
    if (this.#paused && !this.#aborted && !this.#answered) this.#res.pause();
  }

  #forget(): void {
    this.#dropped = true;
    this.take();
  }

  #pause(): void {
    this.#paused = true;
    this.#res.pause();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#cameAt = performance.now();
    this.#res.resume();
  }
}
