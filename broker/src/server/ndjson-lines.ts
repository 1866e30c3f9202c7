const LINE_FEED = 10;
const SPACES: ReadonlySet<number> = new Set([9, 13, 32]);

/** One line of a body, empty ones not counted. */
export interface Line {
  readonly index: number;
  /** Its bytes without the line feed; `undefined` if there were more of them than a line may have. */
  readonly bytes: Buffer | undefined;
}

/**
 * Cuts a body into lines as it comes. Holds at most one that is not whole, and nothing of one that is too long. A line of
 * nothing but white space is skipped.
 */
export class LineSplitter {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #held = 0;
  #tooLong = false;
  #index = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of the line that is not whole yet. */
  get held(): number {
    return this.#held;
  }

  /** The lines that end in this piece; it must not change while they are in use. */
  *push(piece: Buffer): Generator<Line, void, undefined> {
    let from = 0;
    for (let feed = piece.indexOf(LINE_FEED); feed !== -1; feed = piece.indexOf(LINE_FEED, from)) {
      const line = this.#take(piece.subarray(from, feed));
      from = feed + 1;
      if (line !== undefined) yield line;
    }
    this.#keep(piece.subarray(from));
  }

  /** The last line, if the body does not end with a line feed. */
  end(): Line | undefined {
    return this.#take(Buffer.alloc(0));
  }

  #take(last: Buffer): Line | undefined {
    const tooLong = this.#tooLong || this.#held + last.length > this.#maxBytes;
    const bytes = this.#held === 0 ? last : Buffer.concat([...this.#parts, last]);
    this.#parts = [];
    this.#held = 0;
    this.#tooLong = false;
    if (tooLong) return { index: this.#index++, bytes: undefined };
    return isBlank(bytes) ? undefined : { index: this.#index++, bytes };
  }

  #keep(part: Buffer): void {
    if (part.length === 0 || this.#tooLong) return;
    this.#held += part.length;
    if (this.#held > this.#maxBytes) {
      this.#tooLong = true;
      this.#parts = [];
      this.#held = 0;
      return;
    }
    // A copy: the rest of the piece need not wait with it.
    this.#parts.push(Buffer.from(part));
  }
}

function isBlank(bytes: Buffer): boolean {
  for (const byte of bytes) if (!SPACES.has(byte)) return false;
  return true;
}
