import { encodeEvent, isEventType, isTraceparent } from "@kata/protocol/wire";
import { PublisherError } from "./errors.ts";

/** What an event has beside its type and payload. */
export interface EventMeta {
  /** When it happened: RFC 3339 or a Date; now if absent. It is stored in UTC. */
  readonly timestamp?: string | Date | undefined;
  /**
   * 1–128 characters. Of the events of a channel with the same key within the stream's duplicate window (2 minutes
   * by default) the first is stored; the others get its eventId.
   */
  readonly idempotencyKey?: string | undefined;
  /**
   * The W3C trace context that the event was published in, `00-<32 hex>-<16 hex>-<2 hex>` in lower case; subscribers get
   * it with the event ([ENVELOPE-7]). It comes before what the publisher's own `traceparent` option says.
   */
  readonly traceparent?: string | undefined;
}

/** What an application publishes. */
export interface EventInput<T extends string = string, P = unknown> extends EventMeta {
  /** `[a-z][a-z0-9_.]*`, at most 128 characters, no control type ([EVENT-2]). */
  readonly type: T;
  /** Anything with a JSON form. It is encoded at once: changing it later changes nothing. */
  readonly payload: P;
}

/** Says in which trace context the caller is, as `EventInput.traceparent`; what is none counts as `undefined`. */
export type CurrentTraceparent = () => string | undefined;

const RFC3339 = /^\d{4}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/**
 * Writes an event as its line in a record.
 *
 * @param now ms since 1970, for an event that has no timestamp
 * @throws PublisherError `invalid_event`
 */
export type LineEncoder = (event: EventInput, now?: number) => string;

export const encodeLine: LineEncoder = (event, now = Date.now()) => encode(event, now, undefined);

/** {@link encodeLine}, where an event without a `traceparent` gets the current one. */
export function createLineEncoder(current: CurrentTraceparent | undefined): LineEncoder {
  return current === undefined ? encodeLine : (event, now = Date.now()) => encode(event, now, current);
}

function encode(event: EventInput, now: number, current: CurrentTraceparent | undefined): string {
  if (typeof event !== "object" || event === null) throw invalid("an event is an object {type, payload}");
  const { type, payload, timestamp, idempotencyKey, traceparent } = event;
  // Most events have the type of the one before.
  if (type !== lastType && !isEventType(type)) {
    throw invalid("type must match [a-z][a-z0-9_.]*, have at most 128 characters and be no control type");
  }
  lastType = type;
  if (idempotencyKey !== undefined && !isKey(idempotencyKey)) {
    throw invalid("idempotencyKey must be a string of 1 to 128 characters");
  }
  if (traceparent !== undefined && !isTraceparent(traceparent)) {
    throw invalid("traceparent must be 00-<32 hex>-<16 hex>-<2 hex>, lower case, and neither id all zeros");
  }
  const trace = traceparent ?? (current && ask(current));
  let line: string | undefined;
  try {
    line = encodeEvent(type, timestamp === undefined ? isoOfMs(now) : isoOf(timestamp), payload, trace);
  } catch (error) {
    if (error instanceof PublisherError) throw error;
    throw invalid(
      `payload cannot be written as JSON: ${error instanceof Error ? error.message : "its toJSON threw"}`,
      error,
    );
  }
  if (line === undefined) throw invalid("payload has no JSON form");
  return line;
}

/** A tracer outside any span says zeros, or nothing: no reason to lose an event. One that throws is a fault to be seen. */
function ask(current: CurrentTraceparent): string | undefined {
  let traceparent: unknown;
  try {
    traceparent = current();
  } catch (error) {
    throw invalid(`the publisher's traceparent() threw: ${error instanceof Error ? error.message : "no error"}`, error);
  }
  return isTraceparent(traceparent) ? traceparent : undefined;
}

/** Whether it can be an idempotency key: half a surrogate pair has no UTF-8, and all of them would be one key. */
export function isKey(key: unknown): key is string {
  return typeof key === "string" && key.length >= 1 && key.length <= 128 && !/\p{Cs}/u.test(key);
}

function isoOf(timestamp: string | Date): string {
  if (timestamp === lastGiven) return lastGivenText;
  const text = timestamp instanceof Date ? isoOfDate(timestamp) : isoOfText(timestamp);
  // RFC 3339 has years of four digits, in UTC as well.
  if (text === undefined || !/^\d{4}-/.test(text)) {
    throw invalid("timestamp must be RFC 3339 (2026-01-31T12:00:00Z) or a valid Date");
  }
  if (typeof timestamp === "string") {
    lastGiven = timestamp;
    lastGivenText = text;
  }
  return text;
}

function isoOfDate(date: Date): string | undefined {
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

function isoOfText(text: unknown): string | undefined {
  if (typeof text !== "string" || !RFC3339.test(text)) return undefined;
  const ms = Date.parse(text);
  if (Number.isNaN(ms) || !isDay(text.slice(0, 10))) return undefined;
  // What is in UTC already keeps its digits beyond the millisecond.
  return text.endsWith("Z") ? text : new Date(ms).toISOString();
}

/** Whether the calendar has it: Date.parse takes February 30th for March 2nd. */
function isDay(day: string): boolean {
  const date = new Date(day);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(day);
}

/** Events of a batch often have one and the same time. */
let lastGiven: string | undefined;
let lastGivenText = "";
let lastType = "log_entry";
let lastMs = Number.NaN;
let lastText = "";

/** Writing a date is a tenth of what an event costs, and at full speed there are hundreds in a millisecond. */
function isoOfMs(ms: number): string {
  if (ms !== lastMs) {
    lastMs = ms;
    lastText = new Date(ms).toISOString();
  }
  return lastText;
}

function invalid(message: string, cause?: unknown): PublisherError {
  return new PublisherError("invalid_event", message, { cause });
}
