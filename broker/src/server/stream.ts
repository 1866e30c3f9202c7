import type { HttpResponse } from "uWebSockets.js";
import { authorizeChannel } from "../auth/authorize-channel.ts";
import type { Principal } from "../auth/principal.ts";
import type { Revocation } from "../auth/revocation.ts";
import type { Delivery } from "../delivery/delivery.ts";
import type { StartWish } from "../delivery/locate.ts";
import { positionId } from "../delivery/position.ts";
import type { Subscription } from "../delivery/subscription.ts";
import type { Connection } from "./connection.ts";
import { EVENT_STREAM, NOTHING, positionFrame, retryFrame } from "./event-stream.ts";
import type { FanOut } from "./fan-out.ts";
import { Lease } from "./lease.ts";
import type { SessionDeps } from "./session.ts";
import { NUDGE_MS, StreamSocket } from "./stream-socket.ts";

/** How long a client waits before it comes back, unless it is told otherwise, milliseconds. */
const RETRY_MS = 1_000;

export interface StreamOptions {
  readonly channel: string;
  readonly subject: string;
  readonly principal: Principal;
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
  readonly #deps: SessionDeps;
  readonly #channel: string;
  readonly #lease: Lease;
  readonly #config: SessionDeps["config"];
  readonly #subscription: Subscription;
  readonly #onEnd: () => void;
  #open = true;
  #shownAt = performance.now();
  /** When the socket last took bytes, or had none to take. */
  #movedAt = performance.now();
  #shown = "";

  /** The head of the response must have been written. */
  constructor(res: HttpResponse, { channel, subject, principal, start, fanOut, deps, onEnd }: StreamOptions) {
    this.#delivery = deps.delivery;
    this.#deps = deps;
    this.#channel = channel;
    this.#lease = new Lease(principal);
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
    this.#honourLease();
    if (!this.#open) return;
    const { heartbeatIntervalMs, stallTimeoutMs } = this.#config;
    if (this.buffered() === 0) this.#movedAt = now;
    if (now - this.#movedAt > stallTimeoutMs) return this.end();
    this.#socket.nudge(now, Math.min(NUDGE_MS, stallTimeoutMs / 4));
    if (now - this.#shownAt < heartbeatIntervalMs || this.buffered() > 0) return;
    this.#shownAt = now;
    this.#socket.send(this.#sign());
  }

  revoked(revocation: Revocation): void {
    if (this.#lease.revoke(revocation)) this.#honourLease();
  }

  ownerChanged(channel: string): void {
    if (channel !== this.#channel) return;
    const { access, onAdapterError } = this.#deps;
    // Whoever may not read it any more finds out when it comes back, as does who may.
    void authorizeChannel(channel, this.#lease.principal, access, onAdapterError).then(({ subject }) => {
      if (subject === undefined) this.end();
    });
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

  /** A client that comes back with credentials that have ended is refused. */
  #honourLease(): void {
    const due = this.#lease.due(Date.now());
    if (due !== undefined && due.what !== "warn") this.end();
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
