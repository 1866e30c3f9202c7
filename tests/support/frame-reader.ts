/** What a {@link FrameReader} finds. The bytes are valid during the call only. */
export interface FrameSink {
  /** One whole envelope, `bytes[start, end)`. */
  envelope(bytes: Buffer, start: number, end: number): void;
  ping(payload: Buffer): void;
  /** Left out where nobody pings the broker. */
  pong?(payload: Buffer): void;
  /** `code` 1005 if the frame names none. */
  close(code: number, reason: string): void;
}

const TEXT = 0x1;
const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;
const LINE_FEED = 0x0a;
const LONGEST_HEADER = 10;
const EMPTY = Buffer.alloc(0);

/**
 * Takes a server's frames apart: text frames of one envelope, or of several lines. Bytes may come in pieces of any size;
 * only what is cut by the end of a piece is copied. It knows what the broker sends and nothing else: compressed,
 * binary and fragmented frames are errors.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #lines: boolean;
  /** A header that came in pieces. */
  readonly #header = Buffer.allocUnsafe(LONGEST_HEADER);
  #headerBytes = 0;
  #opcode = 0;
  /** Payload bytes of the frame that have not come yet. */
  #left = 0;
  /** The beginning of an envelope, or of a control frame's payload, that came in pieces. */
  #part = EMPTY;
  #partBytes = 0;
  /** The first line feed in the piece that is not behind us; the piece's end if there is none. */
  #feed = 0;

  /** @param lines whether a text frame may hold several envelopes, a line each */
  constructor(sink: FrameSink, lines: boolean) {
    this.#sink = sink;
    this.#lines = lines;
  }

  /** @throws Error if the bytes are no frames that a broker sends */
  read(bytes: Buffer): void {
    const end = bytes.length;
    this.#feed = -1;
    let at = 0;
    while (at < end) {
      if (this.#left > 0) {
        at = this.#payload(bytes, at, end);
        continue;
      }
      const size = this.#headerBytes > 0 ? 0 : headerSize(bytes, at, end);
      if (size > 0) {
        this.#begin(bytes, at);
        at += size;
        continue;
      }
      this.#header[this.#headerBytes++] = bytes[at++] as number;
      if (headerSize(this.#header, 0, this.#headerBytes) === 0) continue;
      this.#headerBytes = 0;
      this.#begin(this.#header, 0);
    }
  }

  #begin(header: Buffer, at: number): void {
    const first = header[at] as number;
    const second = header[at + 1] as number;
    this.#opcode = first & 0x0f;
    if ((first & 0xf0) !== 0x80 || second > 0x7f)
      throw new Error(`no frame of a broker begins with ${first}, ${second}`);
    this.#left =
      second < 126 ? second : second === 126 ? header.readUInt16BE(at + 2) : Number(header.readBigUInt64BE(at + 2));
    if (this.#left === 0) this.#whole(EMPTY, 0, 0);
  }

  #payload(bytes: Buffer, at: number, end: number): number {
    const stop = Math.min(end, at + this.#left);
    this.#left -= stop - at;
    if (this.#lines && this.#opcode === TEXT) this.#splitLines(bytes, at, stop);
    else this.#take(bytes, at, stop, this.#left === 0);
    return stop;
  }

  #splitLines(bytes: Buffer, at: number, stop: number): void {
    let start = at;
    for (;;) {
      // Searched once, not once a frame: it may lie far beyond this one.
      if (this.#feed < start) {
        const found = bytes.indexOf(LINE_FEED, start);
        this.#feed = found < 0 ? bytes.length : found;
      }
      if (this.#feed >= stop) break;
      this.#take(bytes, start, this.#feed, true);
      start = this.#feed + 1;
    }
    this.#take(bytes, start, stop, this.#left === 0);
  }

  /** The next bytes of an envelope, or of a control frame's payload; `last` says that it ends with them. */
  #take(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (last && this.#partBytes === 0) return this.#whole(bytes, start, end);
    const needed = this.#partBytes + end - start;
    if (needed > this.#part.length) {
      const grown = Buffer.allocUnsafe(Math.max(512, 2 * needed));
      this.#part.copy(grown, 0, 0, this.#partBytes);
      this.#part = grown;
    }
    bytes.copy(this.#part, this.#partBytes, start, end);
    this.#partBytes = needed;
    if (!last) return;
    this.#partBytes = 0;
    this.#whole(this.#part, 0, needed);
  }

  #whole(bytes: Buffer, start: number, end: number): void {
    switch (this.#opcode) {
      case TEXT:
        return this.#sink.envelope(bytes, start, end);
      case PING:
        return this.#sink.ping(bytes.subarray(start, end));
      case PONG:
        return this.#sink.pong?.(bytes.subarray(start, end));
      case CLOSE: {
        const code = end - start < 2 ? 1005 : bytes.readUInt16BE(start);
        return this.#sink.close(code, bytes.toString("utf8", Math.min(end, start + 2), end));
      }
      default:
        throw new Error(`a broker sends no frames with opcode ${this.#opcode}`);
    }
  }
}

/** How long the header is that begins at `at`; 0 if not all of it is there. */
function headerSize(bytes: Buffer, at: number, end: number): number {
  if (end - at < 2) return 0;
  const length = (bytes[at + 1] as number) & 0x7f;
  const size = length < 126 ? 2 : length === 126 ? 4 : LONGEST_HEADER;
  return end - at < size ? 0 : size;
}
