/** How many published bytes lie between two looks at the buffers of those who got them. */
const SWEEP_BYTES = 256 * 1024;

/** Those who read one channel live. */
export interface Swept {
  /** Whoever takes less than comes must leave. */
  sweep(): void;
}

/** One that reads a channel live. */
export interface SweptReader {
  /** The same for all that one socket reads. */
  readonly socket: object;
  /** Leave the live feed and go on from the head: the socket takes less than comes. */
  fallBehind(): void;
}

/**
 * When to look at the readers' buffers, and what a full one leaves. The bytes of all channels count together, and a full
 * socket leaves all that it reads live: one that reads a hundred channels holds no more than one that reads a single one.
 */
export class Sweep {
  readonly #due = new Set<Swept>();
  readonly #live = new Map<object, Set<SweptReader>>();
  #bytes = 0;

  /** These readers were sent so many bytes. */
  published(readers: Swept, bytes: number): void {
    this.#due.add(readers);
    this.#bytes += bytes;
    if (this.#bytes < SWEEP_BYTES) return;
    this.#bytes = 0;
    const due = [...this.#due];
    this.#due.clear();
    for (const each of due) each.sweep();
  }

  /** These readers are no more. */
  forget(readers: Swept): void {
    this.#due.delete(readers);
  }

  joined(reader: SweptReader): void {
    const readers = this.#live.get(reader.socket);
    if (readers === undefined) this.#live.set(reader.socket, new Set([reader]));
    else readers.add(reader);
  }

  left(reader: SweptReader): void {
    const readers = this.#live.get(reader.socket);
    if (readers?.delete(reader) && readers.size === 0) this.#live.delete(reader.socket);
  }

  /** Has a full socket leave every channel that it reads live. */
  empty(socket: object): void {
    for (const reader of [...(this.#live.get(socket) ?? [])]) reader.fallBehind();
  }
}
