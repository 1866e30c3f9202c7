const NONE = Buffer.alloc(0);

/**
 * Bytes that come in pieces, in one buffer that grows: a piece costs what it has, however small it is. A buffer for each
 * would cost some hundred bytes more. What it keeps is less than twice what it holds.
 */
export class BodyBytes {
  readonly #most: number;
  #buffer = NONE;
  #length = 0;

  /** @param most more is never pushed, bytes; so there is never room for more. Default no such bound */
  constructor(most = Number.POSITIVE_INFINITY) {
    this.#most = most;
  }

  /** How many are held. */
  get length(): number {
    return this.#length;
  }

  /** What is kept for them, bytes. */
  get capacity(): number {
    return this.#buffer.length;
  }

  /** Copies the piece. */
  push(piece: Uint8Array): void {
    const length = this.#length + piece.length;
    if (length > this.#buffer.length) this.#grow(length);
    this.#buffer.set(piece, this.#length);
    this.#length = length;
  }

  /** All of them, in one piece, which is the caller's from then on; nothing is held any more. */
  take(): Buffer {
    const all = this.#buffer.subarray(0, this.#length);
    this.#buffer = NONE;
    this.#length = 0;
    return all;
  }

  #grow(length: number): void {
    // Not from Node's pool, of which a small buffer keeps 8 KiB.
    const larger = Buffer.allocUnsafeSlow(Math.max(length, Math.min(2 * this.#buffer.length, this.#most)));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
