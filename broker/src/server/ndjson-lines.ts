import { BodyBytes } from "./body-bytes.ts";
import { withoutMark } from "./publish-json.ts";

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
  readonly #bytes: BodyBytes;
  #tooLong = false;
  #begun = false;
  #index = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#bytes = new BodyBytes(maxBytes);
  }

  /** Bytes of the line that is not whole yet. */
  get held(): number {
    return this.#bytes.length;
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
    const whole = this.#whole(last);
    const bytes = this.#begun || whole === undefined ? whole : withoutMark(whole);
    this.#begun = true;
    this.#tooLong = false;
    if (bytes !== undefined && isBlank(bytes)) return undefined;
    return { index: this.#index++, bytes };
  }

  /** The line that ends with this; `undefined` if it is too long. */
  #whole(last: Buffer): Buffer | undefined {
    if (this.#tooLong || this.#bytes.length + last.length > this.#maxBytes) {
      this.#bytes.take();
      return undefined;
    }
    if (this.#bytes.length === 0) return last;
    this.#bytes.push(last);
    return this.#bytes.take();
  }

  #keep(part: Buffer): void {
    if (part.length === 0 || this.#tooLong) return;
    this.#tooLong = this.#bytes.length + part.length > this.#maxBytes;
    // A copy: the rest of the piece need not wait with it.
    if (this.#tooLong) this.#bytes.take();
    else this.#bytes.push(part);
  }
}

function isBlank(bytes: Buffer): boolean {
  for (const byte of bytes) if (!SPACES.has(byte)) return false;
  return true;
}
