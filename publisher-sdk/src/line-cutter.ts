import { isUtf8 } from "node:buffer";
import { MAX_EVENT_BYTES } from "@kata/protocol/wire";

const LINE_FEED = 10;
/** A part of a line that is too long for one event, bytes: also where JSON writes each of them as six, and base64 again, it fits. */
const PART_BYTES = 64 * 1024;
/** What an event's line has beside the message: type, timestamp, keys. */
const FRAME_BYTES = 1024;

/** A line, or a part of one, as a `log_entry` has it. Nothing of it is changed, so that it can be had back byte for byte. */
export interface LineText {
  /** The line without its line feed. What is no UTF-8 reads as U+FFFD. */
  readonly message: string;
  /** The line in base64, where it is not valid UTF-8. */
  readonly bytes?: string;
  /** The number of the part, from 1, where the line is too long for one event. */
  readonly part?: number;
  /** Whether another part follows. */
  readonly more?: true;
}

/** Cuts bytes into lines, each ended by a line feed; a line that no event can hold is cut into parts of at most 64 KiB. */
export class LineCutter {
  readonly #fits: (line: Buffer) => boolean;
  /** The line that has not ended yet. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  /** The number of its last part, if it is given out in parts; else 0. */
  #part = 0;

  /** @param fits whether a line of more than 64 KiB and at most 512 KiB can be one event */
  constructor(fits: (line: Buffer) => boolean = fitsOneEvent) {
    this.#fits = fits;
  }

  /** The lines that end in this chunk, which may be overwritten afterwards. */
  push(chunk: Buffer): LineText[] {
    const last = chunk.lastIndexOf(LINE_FEED);
    if (last < 0) {
      this.#keep(chunk);
      return this.#long();
    }
    const texts: LineText[] = [];
    let start = 0;
    if (this.#restBytes > 0 || this.#part > 0) {
      start = chunk.indexOf(LINE_FEED) + 1;
      this.#rest.push(chunk.subarray(0, start - 1));
      this.#line(this.#takeRest(), texts);
    }
    if (last >= start) this.#lines(chunk.subarray(start, last), texts);
    this.#keep(chunk.subarray(last + 1));
    return texts.concat(this.#long());
  }

  /** The last line, if it has no line feed. */
  end(): LineText[] {
    const texts: LineText[] = [];
    if (this.#restBytes > 0) this.#line(this.#takeRest(), texts);
    return texts;
  }

  /** Whole lines, without the line feed of the last one. */
  #lines(bytes: Buffer, texts: LineText[]): void {
    if (bytes.length <= PART_BYTES && isUtf8(bytes)) {
      for (const message of bytes.toString("utf8").split("\n")) texts.push({ message });
      return;
    }
    for (let start = 0; start <= bytes.length; ) {
      const feed = bytes.indexOf(LINE_FEED, start);
      const end = feed < 0 ? bytes.length : feed;
      this.#line(bytes.subarray(start, end), texts);
      start = end + 1;
    }
  }

  /** A line that has ended, or what is left of one that was given out in parts so far. */
  #line(line: Buffer, texts: LineText[]): void {
    if (this.#part === 0 && (line.length <= PART_BYTES || (line.length <= MAX_EVENT_BYTES && this.#fits(line)))) {
      texts.push(textOf(line));
      return;
    }
    const rest = this.#parts(line, texts);
    texts.push({ ...textOf(rest), part: this.#part + 1 });
    this.#part = 0;
  }

  /** A line that is already too long is not waited for: it must not fill the memory. */
  #long(): LineText[] {
    const texts: LineText[] = [];
    if (this.#restBytes > (this.#part === 0 ? MAX_EVENT_BYTES : PART_BYTES)) {
      this.#keep(this.#parts(this.#takeRest(), texts));
    }
    return texts;
  }

  /** Gives out parts while more than one is there; returns the rest. */
  #parts(line: Buffer, texts: LineText[]): Buffer {
    let rest = line;
    while (rest.length > PART_BYTES) {
      const end = edgeBefore(rest, PART_BYTES);
      texts.push({ ...textOf(rest.subarray(0, end)), part: ++this.#part, more: true });
      rest = rest.subarray(end);
    }
    return rest;
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#rest.push(Buffer.from(bytes));
    this.#restBytes += bytes.length;
  }

  #takeRest(): Buffer {
    const rest = Buffer.concat(this.#rest);
    this.#rest = [];
    this.#restBytes = 0;
    return rest;
  }
}

/** A text as one event holds it, line feeds and all, or as several that do together. */
export function textsOf(text: string): LineText[] {
  // No character has more than three bytes a code unit.
  if (text.length * 3 <= PART_BYTES) return [{ message: text }];
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_EVENT_BYTES && fitsOneEvent(bytes)) return [{ message: text }];
  const texts: LineText[] = [];
  let part = 1;
  for (let start = 0; start < bytes.length; part++) {
    const rest = bytes.subarray(start);
    const end = rest.length > PART_BYTES ? edgeBefore(rest, PART_BYTES) : rest.length;
    const more = end < rest.length;
    texts.push({ message: rest.toString("utf8", 0, end), part, ...(more && { more }) });
    start += end;
  }
  return texts;
}

/** Whether the line can be one event. */
function fitsOneEvent(line: Buffer): boolean {
  return Buffer.byteLength(JSON.stringify(textOf(line))) + FRAME_BYTES <= MAX_EVENT_BYTES;
}

function textOf(line: Buffer): LineText {
  const message = line.toString("utf8");
  return isUtf8(line) ? { message } : { message, bytes: line.toString("base64") };
}

/** The last edge between two characters at or before a place: UTF-8's continuation bytes begin with the bits 10. */
function edgeBefore(bytes: Buffer, place: number): number {
  for (let edge = place; edge > place - 4; edge--) {
    if (((bytes[edge] as number) & 0xc0) !== 0x80) return edge;
  }
  return place;
}
