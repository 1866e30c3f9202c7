import type { Ring } from "./ring.ts";

/**
 * Bounds what all rings hold together. When it is too much, the ring that was written to longest ago forgets first: a
 * busy channel is where readers that come back have missed the most.
 */
export class RingMemory {
  readonly maxBytes: number;
  /** What each ring holds, the one written to longest ago first. */
  readonly #held = new Map<Ring, number>();
  #newest: Ring | undefined;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get largestBytes(): number {
    let largest = 0;
    for (const bytes of this.#held.values()) largest = Math.max(largest, bytes);
    return largest;
  }

  /** `ring` was written to and now holds so many bytes. */
  grew(ring: Ring, bytes: number): void {
    this.#bytes += bytes - (this.#held.get(ring) ?? 0);
    if (this.#newest !== ring) this.#held.delete(ring);
    this.#held.set(ring, bytes);
    this.#newest = ring;
    if (this.#bytes <= this.maxBytes) return;
    for (const coldest of this.#held.keys()) {
      if (this.#bytes <= this.maxBytes) break;
      this.#shrink(coldest);
    }
  }

  /** `ring` is no more. */
  forget(ring: Ring): void {
    this.#bytes -= this.#held.get(ring) ?? 0;
    this.#held.delete(ring);
    if (this.#newest === ring) this.#newest = undefined;
  }

  #shrink(ring: Ring): void {
    const others = this.#bytes - (this.#held.get(ring) ?? 0);
    while (others + ring.bytes > this.maxBytes && ring.forgetOldest());
    this.#bytes = others + ring.bytes;
    this.#held.set(ring, ring.bytes);
    if (ring.bytes === 0) this.forget(ring);
  }
}
