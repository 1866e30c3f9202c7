import { QueueFullError } from "./errors.ts";

/** Counts what is queued, and lets nothing in beyond the bound. */
export class QueueBound {
  readonly #maxBytes: number;
  readonly #problem: () => string;
  #bytes = 0;
  #events = 0;
  /** Who waits until less is queued. */
  #waiting: (() => void)[] = [];

  /** @param problem why nothing moves, for the message of an error */
  constructor(maxBytes: number, problem: () => string) {
    this.#maxBytes = maxBytes;
    this.#problem = problem;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get events(): number {
    return this.#events;
  }

  /** Whether so many bytes more are certainly let in. */
  hasRoom(bytes: number): boolean {
    return this.#bytes + bytes <= this.#maxBytes;
  }

  /** @throws QueueFullError if there is no room for so many bytes more */
  admit(bytes: number): void {
    // What is larger than the whole queue is let in when nothing else is there.
    if (this.#bytes > 0 && this.#bytes + bytes > this.#maxBytes) {
      throw new QueueFullError(this.#events, this.#bytes, this.#maxBytes, this.#problem());
    }
  }

  add(bytes: number, events: number): void {
    this.#bytes += bytes;
    this.#events += events;
  }

  remove(bytes: number, events: number): void {
    this.#bytes -= bytes;
    this.#events -= events;
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** Resolves when no more than so many bytes are queued. */
  async room(bytes: number): Promise<void> {
    while (this.#bytes > bytes) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
