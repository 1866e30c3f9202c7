import type { HttpResponse } from "uWebSockets.js";
import { setTimeout as delay } from "node:timers/promises";
import { BodyBytes } from "./body-bytes.ts";

/** How long the rest of a body is waited for that nobody wants any more, milliseconds. */
const REST_MS = 5_000;

/** A request whose body is on its way. */
export interface IncomingBody {
  /** `too large` as soon as more than the limit came, `aborted` if the client went away before all had come. */
  readonly read: Promise<Buffer | "too large" | "aborted">;
  /** Whether the client is gone, before or after its body: the response must not be used any more. */
  readonly aborted: boolean;
  /** Whether all of it has come. */
  readonly whole: boolean;
  /**
   * Keeps nothing of it any more. Resolves when the rest has come, too, or more than the limit did, or the client is gone, or
   * five seconds are over: an answer that is given before is often lost (what still comes meets a closed connection), or
   * leaves a connection behind that uWebSockets.js never closes.
   */
  drop(): Promise<void>;
}

/**
 * Takes in a request's body. Must be called before anything is awaited.
 *
 * @param length what the request announces; of an empty body uWebSockets.js says nothing where the head came in pieces
 */
export function receiveBody(res: HttpResponse, maxBytes: number, length: number | undefined): IncomingBody {
  let aborted = false;
  let whole = length === 0;
  let dropped = false;
  const bytes = new BodyBytes(maxBytes);
  let size = 0;
  let finish = (_outcome: Buffer | "too large" | "aborted"): void => undefined;
  const read = new Promise<Buffer | "too large" | "aborted">((resolve) => {
    finish = resolve;
  });
  if (whole) finish(Buffer.alloc(0));
  res.onAborted(() => {
    aborted = true;
    bytes.take();
    finish("aborted");
  });
  res.onData((chunk, isLast) => {
    size += chunk.byteLength;
    whole ||= isLast;
    if (size > maxBytes) {
      // uWebSockets.js goes on handing on what comes, also after the answer.
      dropped = true;
      bytes.take();
      return finish("too large");
    }
    // The chunk dies with this callback.
    if (!dropped) bytes.push(new Uint8Array(chunk));
    if (isLast) finish(bytes.take());
  });
  return {
    read,
    get aborted() {
      return aborted;
    },
    get whole() {
      return whole;
    },
    async drop() {
      dropped = true;
      bytes.take();
      const over = new AbortController();
      await Promise.race([read, delay(REST_MS, undefined, { signal: over.signal }).catch(() => undefined)]);
      over.abort();
    },
  };
}
