/** How much of what was taken is remembered, bytes: enough to know a place in a file again. */
export const REMEMBERED_BYTES = 1024;
const FIRST_BYTES = 512 * 1024;
const EMPTY = Buffer.alloc(0);

/** Bytes that were read and not taken yet, in one piece, and the last of those before them. */
export class ByteWindow {
  #buffer = Buffer.allocUnsafe(FIRST_BYTES);
  /** What is remembered begins here, what was not taken at `#start`. */
  #from = 0;
  #start = 0;
  #end = 0;

  /** What was not taken yet; it stands until the next `push` or `begin`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  get length(): number {
    return this.#end - this.#start;
  }

  /** The last bytes that were taken. */
  get before(): Buffer {
    return this.#buffer.subarray(Math.max(this.#from, this.#start - REMEMBERED_BYTES), this.#start);
  }

  /** The last bytes that were read. */
  get tail(): Buffer {
    return this.#buffer.subarray(Math.max(this.#from, this.#end - REMEMBERED_BYTES), this.#end);
  }

  /** Copies them in. */
  push(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#buffer.length) this.#makeRoom(chunk.length);
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  take(count: number): void {
    this.#start += count;
  }

  /** Begins anew, behind bytes that were taken by somebody else. */
  begin(before: Uint8Array = EMPTY): void {
    this.#from = this.#start = this.#end = 0;
    this.push(before);
    this.#start = this.#end;
  }

  #makeRoom(bytes: number): void {
    const keep = Math.max(this.#from, this.#start - REMEMBERED_BYTES);
    const needed = this.#end - keep + bytes;
    const room = needed > this.#buffer.length ? Buffer.allocUnsafe(2 * needed) : this.#buffer;
    this.#buffer.copy(room, 0, keep, this.#end);
    this.#buffer = room;
    this.#end -= keep;
    this.#start -= keep;
    this.#from = 0;
  }
}
