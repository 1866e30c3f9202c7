import type { FilePlace } from "./file-place.ts";
import { type StretchKind, withoutFeed } from "./stretch.ts";

const LINE_FEED = 10;

/** How a person is told which line of a stretch it is, the first being 0. */
export type NameLine = (line: number) => string;

/** By its number, where all lines before it were counted. */
export function byNumber(first: number): NameLine {
  return (line) => `line ${first + line}`;
}

/** By its place: who goes on in a file, or begins at its end, does not know how many lines are before. */
export function byPlace({ path, offset }: FilePlace, bytes: Buffer, { part }: Pick<StretchKind, "part">): NameLine {
  if (part === undefined) return (line) => `the line at byte ${offset + startOf(line, bytes)} of ${path}`;
  // Where it begins may have been known to another process only.
  const end = offset + withoutFeed(bytes).length;
  return () => `the line that ends at byte ${end} of ${path}`;
}

function startOf(line: number, bytes: Buffer): number {
  let start = 0;
  for (let n = 0; n < line; n++) start = bytes.indexOf(LINE_FEED, start) + 1;
  return start;
}
