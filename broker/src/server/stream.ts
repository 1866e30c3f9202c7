import type { HttpResponse } from "uWebSockets.js";
import type { Delivery } from "../delivery/delivery.ts";
import type { StartWish } from "../delivery/locate.ts";
import { positionId } from "../delivery/position.ts";
import type { Subscription } from "../delivery/subscription.ts";
import type { Connection } from "./connection.ts";
import { EVENT_STREAM, NOTHING, positionFrame, retryFrame } from "./event-stream.ts";
import type { FanOut } from "./fan-out.ts";
import type { SessionDeps } from "./session.ts";
import { NUDGE_MS, StreamSocket } from "./stream-socket.ts";

/** How long a client waits before it comes back, unless it is told otherwise, milliseconds. */
const RETRY_MS = 1_000;

export interface StreamOptions {
  readonly channel: string;
  readonly subject: string;
  readonly start: StartWish;
  readonly fanOut: FanOut;
  readonly deps: SessionDeps;
  /** Called once, when it is over. */
  readonly onEnd: () => void;
}

/** One channel over one streamed response [STREAM-1]: the same subscription as over a WebSocket, framed as Server-Sent Events. */
export class Stream implements Connection {
  readonly transport = "event_stream";
  readonly #socket: StreamSocket;
  readonly #delivery: Delivery;
  readonly #config: SessionDeps["config"];
  readonly #subscription: Subscription;
  readonly #onEnd: () => void;
  #open = true;
  #shownAt = performance.now();
  /** When the socket last took bytes, or had none to take. */
  #movedAt = performance.now();
  #shown = "";

  /** The head of the response must have been written. */
  constructor(res: HttpResponse, { channel, subject, start, fanOut, deps, onEnd }: StreamOptions) {
    this.#delivery = deps.delivery;
    this.#config = deps.config;
    this.#onEnd = onEnd;
    this.#socket = new StreamSocket(res, fanOut, () => this.#drained());
    this.#socket.send(retryFrame(RETRY_MS));
    this.#subscription = this.#delivery.subscribe({
      channel,
      subject,
      reader: this.#socket,
      framing: EVENT_STREAM,
      onDefect: (error) => {
        deps.logger.error({ err: error, channel }, "a stream failed");
        this.end();
      },
    });
    this.#subscription.start(start, undefined);
  }

  buffered(): number {
    return this.#socket.buffered();
  }

  beat(now: number): void {
    const { heartbeatIntervalMs, stallTimeoutMs } = this.#config;
    if (this.buffered() === 0) this.#movedAt = now;
    if (now - this.#movedAt > stallTimeoutMs) return this.end();
    this.#socket.nudge(now, Math.min(NUDGE_MS, stallTimeoutMs / 4));
    if (now - this.#shownAt < heartbeatIntervalMs || this.buffered() > 0) return;
    this.#shownAt = now;
    this.#socket.send(this.#sign());
  }

  dismiss(afterMs: number): void {
    // It stays in force until the client is connected again: never so short that a broker that is away is hammered.
    this.#socket.send(retryFrame(RETRY_MS + afterMs));
    this.end();
  }

  end(): void {
    this.#finish();
    this.#socket.end();
  }

  /** The response is gone. */
  closed(): void {
    this.#socket.closed();
    this.#finish();
  }

  #finish(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#delivery.end(this.#subscription);
    this.#onEnd();
  }

  #drained(): void {
    this.#movedAt = performance.now();
    this.#subscription.drained();
  }

  /** [STREAM-4] A sign of life, with the place up to which everything was sent where there is a new one. */
  #sign(): Buffer {
    const sent = this.#subscription.sentUpTo;
    if (sent === undefined || sent.position.seq === 0) return NOTHING;
    const eventId = positionId(sent.epoch, sent.position);
    if (eventId === this.#shown) return NOTHING;
    this.#shown = eventId;
    return positionFrame(eventId);
  }
}
