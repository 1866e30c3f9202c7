import { isUtf8 } from "node:buffer";
import { formatEventId, isEventType } from "@kata/protocol/wire";
import type { StoredRecord } from "../log/event-log.ts";
import { envelopesOf } from "./envelopes.ts";
import type { Position } from "./position.ts";

/** A record as a channel's readers get it: its events encoded once, whoever reads them. */
export interface ChannelRecord {
  /** The life of the log that it belongs to. */
  readonly epoch: string;
  readonly seq: number;
  readonly check: string;
  /** The number of the record's last line; positions inside the record count lines, valid or not. */
  readonly lastLine: number;
  /** The envelopes, NDJSON without a line feed at the end; empty if no line is an event. */
  readonly bytes: Buffer;
  /** Where each envelope ends in `bytes`. */
  readonly ends: readonly number[];
  /** Which line of the record each envelope was. */
  readonly lines: readonly number[];
  /** Lines that are no events. */
  readonly invalid: number;
}

const LINE_FEED = 0x0a;

/**
 * Completes a stored record to envelopes [EVENT-3]. `channel` and `eventId` go to the end of each object, where they
 * win over keys that the record carries itself [ENVELOPE-6].
 */
export function decodeRecord(stored: StoredRecord, channel: string, epoch: string): ChannelRecord {
  const texts = isUtf8(stored.data)
    ? linesOf(Buffer.from(stored.data.buffer, stored.data.byteOffset, stored.data.byteLength).toString("utf8"))
    : [""];
  const close = `,"channel":"${channel}","eventId":"`;
  const lines: number[] = [];
  let joined = "";
  for (let n = 0; n < texts.length; n++) {
    const line = texts[n] as string;
    if (!isEvent(line)) continue;
    if (lines.length > 0) joined += "\n";
    joined += `${line.slice(0, -1)}${close}${formatEventId(epoch, stored.seq, stored.check, n)}"}`;
    lines.push(n);
  }
  // Between tokens a stranger may have one; to a reader of an event stream it would end the line.
  const bytes = ownBytes(joined.includes("\r") ? joined.replaceAll("\r", " ") : joined);
  return {
    epoch,
    seq: stored.seq,
    check: stored.check,
    lastLine: texts.length - 1,
    bytes,
    ends: endsOf(bytes),
    lines,
    invalid: texts.length - lines.length,
  };
}

/**
 * Not out of Node's shared pool: a small record that is kept would keep the eight kilobytes around it, and memory would
 * hold many times what it is counted for.
 */
function ownBytes(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text, "utf8"));
  bytes.write(text, "utf8");
  return bytes;
}

/** How many lines a stored record has: what an eventId's `n` is checked against. */
export function countLines(data: Uint8Array): number {
  return isUtf8(data) ? linesOf(Buffer.from(data).toString("utf8")).length : 1;
}

/** The eventId of a record's line. */
export function eventIdOf({ epoch, seq, check }: ChannelRecord, line: number): string {
  return formatEventId(epoch, seq, check, line);
}

/** The place after a record that was decoded. */
export function endOf({ seq, check, lastLine }: ChannelRecord): Position {
  return { seq, check, line: lastLine };
}

/** The place after a stored record, whichever channel's it is. */
export function positionOf(stored: StoredRecord): Position {
  return { seq: stored.seq, check: stored.check, line: countLines(stored.data) - 1 };
}

/** The envelopes of `record` whose line is after `afterLine`, as one piece of NDJSON; `undefined` if there are none. */
export function sliceAfter(record: ChannelRecord, afterLine: number): Buffer | undefined {
  const index = record.lines.findIndex((line) => line > afterLine);
  if (index < 0) return undefined;
  return record.bytes.subarray(index === 0 ? 0 : (record.ends[index - 1] as number) + 1);
}

/** Calls `each` with every envelope of `record` whose line is after `afterLine`, and its line. */
export function forEachEvent(
  record: ChannelRecord,
  afterLine: number,
  each: (envelope: Buffer, line: number) => void,
): void {
  const envelopes = envelopesOf(record);
  for (let i = 0; i < envelopes.length; i++) {
    const line = record.lines[i] as number;
    if (line > afterLine) each(envelopes[i] as Buffer, line);
  }
}

/**
 * A stranger may publish one event over several lines (pretty-printed): a text that is one JSON object as a whole is
 * one event. Line feeds in JSON stand only between tokens, where a space is as good.
 */
function linesOf(text: string): string[] {
  const trimmed = text.trim();
  if (!trimmed.includes("\n")) return [trimmed];
  const lines = trimmed.split("\n").map((line) => line.trim());
  if (lines.every((line) => line.startsWith("{") && line.endsWith("}"))) return lines;
  return parseObject(trimmed) === undefined ? lines : [trimmed.replaceAll(/[\r\n]/g, " ")];
}

function isEvent(line: string): boolean {
  const event = parseObject(line);
  return (
    event !== undefined &&
    isEventType(event.type) &&
    typeof event.timestamp === "string" &&
    event.encoding === "json" &&
    // As with the timestamp: its form is the reader's to see [ENVELOPE-7], that it can be read is not.
    (event.traceparent === undefined || typeof event.traceparent === "string") &&
    Object.hasOwn(event, "payload")
  );
}

function parseObject(text: string): Record<string, unknown> | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function endsOf(bytes: Buffer): number[] {
  if (bytes.length === 0) return [];
  const ends: number[] = [];
  for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) ends.push(at);
  ends.push(bytes.length);
  return ends;
}
