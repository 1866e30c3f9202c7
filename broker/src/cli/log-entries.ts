import { isUtf8 } from "node:buffer";
import { MAX_EVENT_BYTES } from "@kata/protocol/wire";
import { linesOf, type Stretch, withoutFeed } from "./stretch.ts";

/** A line, or a part of one, as the payload of a `log_entry`: nothing of it is changed, so that it can be had back byte for byte. */
export interface LinePayload {
  /** The line without its line feed. What is no UTF-8 reads as U+FFFD. */
  readonly message: string;
  /** The line in base64, where it is not valid UTF-8. */
  readonly bytes?: string;
  /** The number of the part, from 1, where the line is too long for one event. */
  readonly part?: number;
  /** Whether another part follows. */
  readonly more?: true;
}

/** What an event's line has beside the payload: type, timestamp, keys. */
const FRAME_BYTES = 256;

/** A payload for each line of the stretch. */
export function logEntriesOf(bytes: Buffer, { part, more }: Pick<Stretch, "part" | "more">): LinePayload[] {
  if (part !== undefined) return [{ ...payloadOf(withoutFeed(bytes)), part, ...(more === true && { more }) }];
  if (!isUtf8(bytes)) return linesOf(bytes).map(payloadOf);
  const lines = bytes.toString("utf8").split("\n");
  // What is behind the last line feed: nothing, unless it is a last line without one.
  if (lines.at(-1) === "") lines.pop();
  return lines.map((message) => ({ message }));
}

/** JSON writes a control character as six bytes, and what is no UTF-8 comes with its base64. */
export function growsInJson(lines: Buffer, controls: boolean): boolean {
  return controls || !isUtf8(lines);
}

/** Whether the line can be one event. */
export function fitsOneEvent(line: Buffer): boolean {
  return Buffer.byteLength(JSON.stringify(payloadOf(line))) + FRAME_BYTES <= MAX_EVENT_BYTES;
}

function payloadOf(line: Buffer): LinePayload {
  const message = line.toString("utf8");
  return isUtf8(line) ? { message } : { message, bytes: line.toString("base64") };
}
