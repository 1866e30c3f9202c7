import { MAX_EVENT_BYTES } from "@kata/protocol/wire";

const TAB = 9;
const LINE_FEED = 10;
const RETURN = 13;

/** So many lines travel together at most: a record has no more events. */
const STRETCH_LINES = 1_000;
/**
 * So many bytes travel together at most: as events they are about twice that, less than the 512 KiB that one record has.
 * Of such as may grow to more it is {@link GROWING_BYTES}.
 */
const STRETCH_BYTES = 128 * 1024;
/**
 * JSON writes a control character as six bytes, and what is no UTF-8 is there a second time in base64: 7.34 bytes for one. With
 * the frames of 1,000 events this many still fit.
 */
const GROWING_BYTES = 48 * 1024;
/** A part of a line that is too long for one event, bytes: also with the worst of them it fits. */
export const PART_BYTES = 64 * 1024;

/** What of the bytes is published together: whole lines, or one part of a line that no event can hold. */
export interface Stretch {
  /** Its length, with the line feeds. */
  readonly bytes: number;
  /** How many lines end in it. */
  readonly lines: number;
  /** The number of the part, from 1; `undefined`: it is whole lines. */
  readonly part?: number | undefined;
  /** Whether another part of the same line follows. */
  readonly more?: boolean | undefined;
}

/** What there is to know of a stretch to make its events. */
export interface StretchKind extends Pick<Stretch, "part" | "more"> {
  /** Whether a file, or stdin, begins with it. */
  readonly begins: boolean;
}

/** What the size of an event depends on. */
export interface Sizing {
  /** Whether these lines, in which there may be control characters, can be more than twice as long as payloads. */
  grows(lines: Buffer, controls: boolean): boolean;
  /** Whether a line of more than {@link PART_BYTES}, and at most 512 KiB, can be one event. */
  fits(line: Buffer): boolean;
}

/**
 * The next stretch, or `undefined` while there is no complete line. Lines end with a line feed, the last one also with the end.
 *
 * @param ended nothing follows these bytes
 * @param part the number of the last part, if the bytes begin within a line; else 0
 */
export function cut(bytes: Buffer, ended: boolean, part: number, sizing: Sizing): Stretch | undefined {
  if (part > 0) return cutPart(bytes, ended, part + 1);
  let whole = wholeLines(bytes, ended, STRETCH_BYTES);
  if (whole === undefined) return bytes.length > MAX_EVENT_BYTES ? cutPart(bytes, ended, 1) : undefined;
  if (whole.bytes > GROWING_BYTES && whole.lines > 1 && sizing.grows(bytes.subarray(0, whole.bytes), whole.controls)) {
    whole = wholeLines(bytes, ended, GROWING_BYTES) ?? whole;
  }
  const stretch = { bytes: whole.bytes, lines: whole.lines };
  if (whole.lines > 1 || whole.bytes <= PART_BYTES) return stretch;
  const line = withoutFeed(bytes.subarray(0, whole.bytes));
  return line.length <= MAX_EVENT_BYTES && sizing.fits(line) ? stretch : cutPart(bytes, ended, 1);
}

/** As many lines as there are and may be, one at least; `undefined` if there is none. */
function wholeLines(
  bytes: Buffer,
  ended: boolean,
  limit: number,
): { readonly bytes: number; readonly lines: number; readonly controls: boolean } | undefined {
  const length = Math.min(bytes.length, limit);
  let end = 0;
  let lines = 0;
  let controls = false;
  // Byte by byte: to call for each line what finds the next line feed takes four times as long.
  for (let at = 0; at < length && lines < STRETCH_LINES; at++) {
    const byte = bytes[at] as number;
    if (byte === LINE_FEED) {
      end = at + 1;
      lines++;
    } else if (byte < 0x20 && byte !== TAB && byte !== RETURN) controls = true;
  }
  if (ended && length === bytes.length && end < length && lines < STRETCH_LINES)
    return { bytes: length, lines: lines + 1, controls };
  if (lines > 0) return { bytes: end, lines, controls };
  const feed = bytes.indexOf(LINE_FEED, length);
  if (feed >= 0) return { bytes: feed + 1, lines: 1, controls };
  return ended && bytes.length > 0 ? { bytes: bytes.length, lines: 1, controls } : undefined;
}

/** The lines of a stretch, without their line feeds. */
export function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const feed = bytes.indexOf(LINE_FEED, start);
    const end = feed >= 0 ? feed : bytes.length;
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

export function withoutFeed(bytes: Buffer): Buffer {
  return bytes.at(-1) === LINE_FEED ? bytes.subarray(0, -1) : bytes;
}

function cutPart(bytes: Buffer, ended: boolean, part: number): Stretch | undefined {
  const feed = bytes.subarray(0, PART_BYTES + 1).indexOf(LINE_FEED);
  if (feed >= 0) return { bytes: feed + 1, lines: 1, part };
  if (bytes.length > PART_BYTES) return { bytes: edgeBefore(bytes, PART_BYTES), lines: 0, part, more: true };
  return ended && bytes.length > 0 ? { bytes: bytes.length, lines: 1, part } : undefined;
}

/** The last edge between two characters at or before a place: UTF-8's continuation bytes begin with the bits 10. */
function edgeBefore(bytes: Buffer, place: number): number {
  for (let edge = place; edge > place - 4; edge--) {
    if (((bytes[edge] as number) & 0xc0) !== 0x80) return edge;
  }
  return place;
}
