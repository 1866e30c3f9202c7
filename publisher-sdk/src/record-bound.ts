/** However little a gateway takes, records of several events are not kept smaller than that, bytes. */
const LEAST_BYTES = 16 * 1024;

/**
 * How large a record of several events may become on a way where something in between takes less than a broker: half of what was
 * too large for it. A single event is never kept back for that: whether it gets through is seen when it is sent.
 */
export class RecordBound {
  #bytes: number;

  /** @param most what it may be at most, bytes */
  constructor(most: number) {
    this.#bytes = most;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** A record of so many bytes was too large. */
  tooLarge(bytes: number): void {
    this.#bytes = Math.min(this.#bytes, Math.max(LEAST_BYTES, Math.floor(bytes / 2)));
  }
}
