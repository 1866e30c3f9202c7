/**
 * How much of a line is kept, bytes. No event can carry more than half of it; a line that never ends must not fill the
 * memory.
 */
const KEPT_BYTES = 1024 * 1024;

/** A line, or how long one was that is too long for any event. */
export type Line = { readonly text: string } | { readonly text?: undefined; readonly bytes: number };

/** Cuts bytes into lines: at \n, without a \r before it. Bytes, so that a character on the edge of a chunk stays whole. */
export class LineCutter {
  readonly #keptBytes: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(keptBytes = KEPT_BYTES) {
    this.#keptBytes = keptBytes;
  }

  /** The lines that end in this chunk, which may be overwritten afterwards. */
  *push(chunk: Buffer): Generator<Line> {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      this.#add(chunk.subarray(start, end));
      yield this.#take();
      start = end + 1;
    }
    if (start < chunk.length) this.#add(Buffer.from(chunk.subarray(start)));
  }

  /** The last line, if it has no line feed. */
  *end(): Generator<Line> {
    if (this.#bytes > 0) yield this.#take();
  }

  #add(part: Buffer): void {
    this.#bytes += part.length;
    if (this.#bytes <= this.#keptBytes) this.#parts.push(part);
    else this.#parts = [];
  }

  #take(): Line {
    const bytes = this.#bytes;
    const text = Buffer.concat(this.#parts).toString("utf8");
    this.#bytes = 0;
    this.#parts = [];
    if (bytes > this.#keptBytes) return { bytes };
    return { text: text.endsWith("\r") ? text.slice(0, -1) : text };
  }
}
