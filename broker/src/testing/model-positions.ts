import { NO_POSITION, parseEventId } from "@kata/protocol/wire";
import type { ModelMessage } from "./model-socket.ts";

/** Where an application would go on, by channel: the last positions that it was handed, on whichever connection. */
export class ModelPositions {
  readonly #positions = new Map<string, string>();
  /** The channels of which this connection has read `caught_up`. */
  readonly #caughtUp = new Set<string>();
  /** Of each ping that is not answered: the channels that were caught up when it was sent. */
  #pings: ReadonlySet<string>[] = [];

  get channels(): readonly string[] {
    return [...this.#positions.keys()];
  }

  get(channel: string): string | undefined {
    return this.#positions.get(channel);
  }

  /** It sends a ping. */
  pinged(): void {
    this.#pings.push(new Set(this.#caughtUp));
  }

  /** It unsubscribes. */
  left(channel: string): void {
    this.#caughtUp.delete(channel);
  }

  /** The connection is gone. */
  disconnected(): void {
    this.#caughtUp.clear();
    this.#pings = [];
  }

  /** It reads a message. */
  received({ type, channel, eventId }: ModelMessage): void {
    if (type === "pong") return this.#ponged(eventId);
    // [ENVELOPE-4] What has no position.
    if (channel === undefined || eventId === NO_POSITION) return;
    this.#positions.set(channel, eventId);
    if (type === "caught_up") this.#caughtUp.add(channel);
    else if (type === "subscribed") this.#caughtUp.delete(channel);
  }

  #ponged(eventId: string): void {
    for (const channel of this.#pings.shift() ?? []) {
      if (this.#caughtUp.has(channel) && isLater(eventId, this.#positions.get(channel)))
        this.#positions.set(channel, eventId);
    }
  }
}

/** [PING-1] Of two positions with one epoch the one with the greater sequence, then n. */
function isLater(eventId: string, than: string | undefined): boolean {
  const a = parseEventId(eventId);
  const b = parseEventId(than);
  if (a === undefined || b === undefined || a.epoch !== b.epoch) return false;
  return a.seq > b.seq || (a.seq === b.seq && a.n > b.n);
}
