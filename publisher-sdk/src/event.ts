import { encodeEvent, isEventType } from "@kata/protocol/wire";
import { PublisherError } from "./errors.ts";

/** What an application publishes. */
export interface EventInput {
  /** `[a-z][a-z0-9_.]*`, at most 128 characters, no control type ([EVENT-2]). */
  readonly type: string;
  /** Anything with a JSON form. It is encoded at once: changing it later changes nothing. */
  readonly payload: unknown;
  /** When it happened: RFC 3339 or a Date; now if absent. It is stored in UTC. */
  readonly timestamp?: string | Date | undefined;
  /**
   * 1–128 characters. Of the events of a channel with the same key within the stream's duplicate window (2 minutes
   * by default) the first is stored; the others get its eventId.
   */
  readonly idempotencyKey?: string | undefined;
}

const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/**
 * The event as its line in a record.
 *
 * @throws PublisherError `invalid_event`
 */
export function encodeLine(event: EventInput): string {
  if (typeof event !== "object" || event === null) throw invalid("an event is an object {type, payload}");
  const { type, payload, timestamp, idempotencyKey } = event;
  if (!isEventType(type)) {
    throw invalid("type must match [a-z][a-z0-9_.]*, have at most 128 characters and be no control type");
  }
  if (idempotencyKey !== undefined && !isKey(idempotencyKey)) {
    throw invalid("idempotencyKey must be a string of 1 to 128 characters");
  }
  let line: string | undefined;
  try {
    line = encodeEvent(type, timestamp === undefined ? isoNow() : isoOf(timestamp), payload);
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

function isKey(key: unknown): key is string {
  return typeof key === "string" && key.length >= 1 && key.length <= 128;
}

function isoOf(timestamp: string | Date): string {
  if (typeof timestamp === "string" && RFC3339.test(timestamp)) {
    const ms = Date.parse(timestamp);
    // What is in UTC already keeps its digits beyond the millisecond.
    if (!Number.isNaN(ms)) return timestamp.endsWith("Z") ? timestamp : new Date(ms).toISOString();
  } else if (timestamp instanceof Date && !Number.isNaN(timestamp.getTime())) {
    return timestamp.toISOString();
  }
  throw invalid("timestamp must be RFC 3339 (2026-01-31T12:00:00Z) or a valid Date");
}

let lastMs = Number.NaN;
let lastText = "";

/** Now. Writing the date is a tenth of what an event costs, and at full speed there are hundreds in a millisecond. */
function isoNow(): string {
  const ms = Date.now();
  if (ms !== lastMs) {
    lastMs = ms;
    lastText = new Date(ms).toISOString();
  }
  return lastText;
}

function invalid(message: string, cause?: unknown): PublisherError {
  return new PublisherError("invalid_event", message, { cause });
}
