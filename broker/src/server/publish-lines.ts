import type { HttpResponse } from "uWebSockets.js";
import type { FanOut } from "./fan-out.ts";
import { writeCarried } from "./respond.ts";
import { NUDGE_MS, StreamSocket } from "./stream-socket.ts";

/** An empty line, which whoever reads NDJSON skips. */
const NOTHING = Buffer.from("\n");

/** The answer to a stream of events as a stream of its own: a line for each event [HTTP-9]. */
export class PublishLines {
  readonly #res: HttpResponse;
  readonly #fanOut: FanOut;
  readonly #onWritten: () => void;
  /** From the first line on. */
  #socket: StreamSocket | undefined;
  #open = true;
  /** When the socket last took bytes, or had none to take. */
  #movedAt = performance.now();
  #drained: (() => void) | undefined;

  /** @param onWritten as of a {@link StreamSocket} */
  constructor(res: HttpResponse, fanOut: FanOut, onWritten: () => void) {
    this.#res = res;
    this.#fanOut = fanOut;
    this.#onWritten = onWritten;
  }

  /** Whether its head is on its way: then there is no other answer any more. */
  get begun(): boolean {
    return this.#socket !== undefined;
  }

  buffered(): number {
    return this.#socket?.buffered() ?? 0;
  }

  /** Writes lines. Resolves when the client has taken them, as far as the system tells, or is gone. */
  async write(lines: string): Promise<void> {
    if (lines === "" || !this.#open) return;
    this.#socket ??= this.#begin();
    this.#socket.send(Buffer.from(lines));
    if (this.buffered() === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
    this.#drained = undefined;
  }

  /** Cuts off a client that has taken nothing for so long. */
  beat(now: number, stallTimeoutMs: number): void {
    if (!this.#open || this.#socket === undefined) return;
    if (this.buffered() === 0) this.#movedAt = now;
    if (now - this.#movedAt > stallTimeoutMs) this.#socket.end();
    else this.#socket.nudge(now, Math.min(NUDGE_MS, stallTimeoutMs / 4));
  }

  /** Ends the answer. */
  end(): void {
    if (this.#open) this.#socket?.end();
    this.closed();
  }

  /** The response is gone, and must not be used any more. */
  closed(): void {
    this.#open = false;
    this.#socket?.closed();
    this.#drained?.();
  }

  #begin(): StreamSocket {
    this.#res.cork(() => {
      this.#res.writeStatus("200 OK");
      this.#res.writeHeader("content-type", "application/x-ndjson");
      this.#res.writeHeader("cache-control", "no-store");
      // Proxies that collect an answer before they pass it on (nginx) must not.
      this.#res.writeHeader("x-accel-buffering", "no");
      writeCarried(this.#res);
    });
    const options = { nothing: NOTHING, onWritten: this.#onWritten };
    return new StreamSocket(this.#res, this.#fanOut, () => this.#moved(), options);
  }

  #moved(): void {
    this.#movedAt = performance.now();
    if (this.buffered() === 0) this.#drained?.();
  }
}
