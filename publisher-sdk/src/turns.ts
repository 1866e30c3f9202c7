/** Something that sends when it is its turn. */
export interface Sender {
  /** Sends what it may. */
  advance(): void;
}

/**
 * Lets so many lanes send at a time, in the order in which they asked. A record costs the server, and its disk, as much whether it
 * holds one event or a thousand: what waits for its turn fills up, so that many busy channels cost hardly more than one.
 */
export class Turns {
  readonly #limit: () => number;
  #going = 0;
  readonly #asked = new Set<Sender>();
  #calling: Sender | undefined;
  /** Whether those who wait are being called. */
  #busy = false;

  /** @param limit how many may be on their way now */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  /** Whether it may send a record now. If not, it is told to advance when it may. */
  take(sender: Sender): boolean {
    if (this.#going < this.#limit() && (this.#calling === sender || this.#asked.size === 0)) {
      // One that is called sends one record; for the next it has to ask again.
      this.#calling = undefined;
      this.#going++;
      return true;
    }
    this.#asked.add(sender);
    return false;
  }

  /** It has nothing to send any more. */
  forget(sender: Sender): void {
    if (this.#asked.size > 0) this.#asked.delete(sender);
  }

  /** A record has arrived, or is given up. */
  give(): void {
    this.#going--;
  }

  /**
   * Calls those who wait, as many as may send. What is sent can fail at once, and whoever sent it calls again: then the call that is
   * being made goes on, or as many as wait would be on the stack.
   */
  call(): void {
    if (this.#busy || this.#asked.size === 0) return;
    this.#busy = true;
    try {
      for (const sender of this.#asked) {
        if (this.#going >= this.#limit()) break;
        this.#asked.delete(sender);
        this.#calling = sender;
        sender.advance();
        this.#calling = undefined;
      }
    } finally {
      this.#calling = undefined;
      this.#busy = false;
    }
  }
}
