/** How many published bytes lie between two looks at the buffers of those who got them. */
const SWEEP_BYTES = 256 * 1024;

/** Those who read one channel live. */
export interface Swept {
  /** Whoever takes less than comes must leave. */
  sweep(): void;
}

/**
 * When to look at the readers' buffers. The bytes of all channels count together: a socket that reads a hundred
 * channels holds no more beyond its mark than one that reads a single one.
 */
export class Sweep {
  readonly #due = new Set<Swept>();
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
}
