const LINE_FEED = 10;
const EMPTY = Buffer.alloc(0);
/** Text that is encoded at once, characters. */
const GATHERED_CHARS = 2 * 1024;
/** What lines are encoded into, bytes: what is left unused of the last one is all that is wasted. */
const CHUNK_BYTES = 16 * 1024;
/** Text from so many bytes on has a piece of memory of its own. */
const ALONE_BYTES = 4 * 1024;
/** From so many bytes on a piece is none of Node's pool, which would leave up to a third of itself unused. */
const UNPOOLED_BYTES = 1024;
/** No character has more in UTF-8: what takes four is two characters. */
const MAX_BYTES_A_CHAR = 3;

/** What a line can have at most, bytes. */
export function mostBytes(line: string): number {
  return line.length * MAX_BYTES_A_CHAR;
}

/** Whether a line has at most so many bytes. */
export function isWithin(line: string, bytes: number): boolean {
  return mostBytes(line) <= bytes || Buffer.byteLength(line) <= bytes;
}

/**
 * The lines of a record, with line feeds between them. A few at a time are gathered as text and encoded together, since a call that
 * measures or encodes a line costs more than its bytes do. What is encoded, all but the last few, is outside the garbage-collected heap,
 * where hundreds of thousands of strings would be moved about.
 */
export class Lines {
  /** What is not encoded yet, line feeds included. */
  #text = "";
  /** How many bytes are encoded, and into what: pieces that are full, and one of which so much is in use. */
  #encoded = 0;
  #full: Buffer[] | undefined;
  #buffer: Buffer = EMPTY;
  #used = 0;
  readonly #room: number;

  /** @param room how long they are expected to become, bytes */
  constructor(room: number) {
    this.#room = room;
  }

  /** Their length, bytes. */
  get bytes(): number {
    return this.#text === "" ? this.#encoded : this.#encoded + Buffer.byteLength(this.#text);
  }

  /** The same as far as it is known: what is not encoded yet counts as ASCII. */
  get leastBytes(): number {
    return this.#encoded + this.#text.length;
  }

  /** Whether they have at most so many bytes with one more line. */
  takes(line: string, bytes: number): boolean {
    const chars = this.#text.length + 1 + line.length;
    if (this.#encoded + chars > bytes) return false;
    if (this.#encoded + chars * MAX_BYTES_A_CHAR <= bytes) return true;
    return this.bytes + 1 + Buffer.byteLength(line) <= bytes;
  }

  add(line: string): void {
    this.#text = this.leastBytes === 0 ? line : `${this.#text}\n${line}`;
    // Most records of a quiet channel have no second line: such a one gets no more than it needs, when it is sent.
    if (this.#text.length >= GATHERED_CHARS) this.#encode(Math.min(CHUNK_BYTES, this.#encoded || this.#room));
  }

  /** No line is expected any more: encodes what is left. */
  seal(): void {
    this.#encode(0);
  }

  /** All of them in one piece. It is the lines' own memory. */
  joined(): Buffer {
    this.seal();
    if (this.#full !== undefined) {
      this.#full.push(this.#buffer.subarray(0, this.#used));
      this.#buffer = Buffer.concat(this.#full, this.#encoded);
      this.#used = this.#encoded;
      this.#full = undefined;
    }
    return this.#buffer.subarray(0, this.#used);
  }

  /** Takes the line at a place out. */
  remove(place: number): void {
    const all = this.joined();
    let start = 0;
    for (let i = 0; i < place; i++) start = all.indexOf(LINE_FEED, start) + 1;
    const feed = all.indexOf(LINE_FEED, start);
    // The last one goes with the line feed in front of it.
    if (feed === -1) this.#used = Math.max(0, start - 1);
    else {
      all.copyWithin(start, feed + 1);
      this.#used -= feed + 1 - start;
    }
    this.#encoded = this.#used;
  }

  /** Lets go of the memory; what is left is how long they were. */
  drop(): void {
    this.#encoded = this.bytes;
    this.#text = "";
    this.#full = undefined;
    this.#buffer = EMPTY;
    this.#used = 0;
  }

  /** @param ahead how much more is expected, bytes */
  #encode(ahead: number): void {
    const text = this.#text;
    if (text === "") return;
    this.#text = "";
    const bytes = Buffer.byteLength(text);
    if (this.#used + bytes > this.#buffer.length) {
      if (this.#used > 0) {
        this.#full ??= [];
        this.#full.push(this.#buffer.subarray(0, this.#used));
      }
      const size = bytes >= ALONE_BYTES ? bytes : Math.max(bytes, ahead);
      this.#buffer = size < UNPOOLED_BYTES ? Buffer.allocUnsafe(size) : Buffer.allocUnsafeSlow(size);
      this.#used = 0;
    }
    // As many bytes as characters: ASCII, which needs no encoding.
    this.#buffer.write(text, this.#used, bytes, bytes === text.length ? "latin1" : "utf8");
    this.#used += bytes;
    this.#encoded += bytes;
  }
}
