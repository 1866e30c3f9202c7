import { encodeEvent, isEventType, isTraceparent, MAX_EVENT_BYTES, PayloadSchemas } from "@kata/protocol";
import { z } from "zod";

/** Arrays and objects of a payload may be in each other so deep: far from where writing one would overflow the stack. */
const MAX_DEPTH = 1_000;

/** zod takes a time without seconds and a fraction of any length. */
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/** The first and the last moment that RFC 3339 can write in UTC, milliseconds since 1970. */
const FIRST_MS = Date.parse("0000-01-01T00:00:00.000Z");
const LAST_MS = Date.parse("9999-12-31T23:59:59.999Z");

/** One event as it is published over HTTP [HTTP-1]. A line of a stored record is one, too, and may be published again as it is. */
const EventInputSchema = z.strictObject({
  type: z
    .string()
    .refine(isEventType, { message: "must be [a-z][a-z0-9_.]*, at most 128 characters, and no control type" }),
  payload: z.unknown().refine((payload) => payload !== undefined, { message: "is missing" }),
  timestamp: z.iso
    .datetime({ offset: true })
    .refine(isTimestamp, {
      message: "must have seconds, at most nine digits of a fraction, and in UTC a year from 0000 to 9999",
    })
    .optional(),
  idempotencyKey: z
    .string()
    .min(1)
    .max(128)
    // Whatever has no UTF-8 would all be the same in a hash.
    .refine((key) => !/\p{Surrogate}/u.test(key), {
      message: "must be well-formed Unicode: half a surrogate pair is none",
    })
    .optional(),
  traceparent: z
    .string()
    .refine(isTraceparent, { message: "must be 00-<32 hex>-<16 hex>-<2 hex>, lower case, and neither id all zeros" })
    .optional(),
  encoding: z.literal("json").optional(),
});
export type EventInput = z.infer<typeof EventInputSchema>;

/** Upper bound of the events of one array, and of one chunk of a stream. */
export const MAX_EVENTS = 1_000;

/**
 * So many bytes have events without keys in a record: more are cut into several. A batch of a stream is one record, if possible.
 */
export const RECORD_BYTES = 256 * 1024;

/** A text of so few bytes does not come to more than an event may have, whatever numbers are in it. */
const SMALL_BYTES = 2_048;

/**
 * The event that a JSON value is, or one line about the first thing that is wrong with it.
 *
 * @param bytes length of the text that it was read from, if it is known: what is small need not be written to be measured
 */
export function parseEvent(
  json: unknown,
  bytes = Number.POSITIVE_INFINITY,
): { readonly event: EventInput } | { readonly problem: string } {
  const parsed = EventInputSchema.safeParse(json);
  if (!parsed.success) return { problem: explain(parsed.error) };
  const { type, payload } = parsed.data;
  const flaw = flawOf(payload, MAX_DEPTH);
  if (flaw !== undefined) return { problem: flaw };
  if (Object.hasOwn(PayloadSchemas, type)) {
    const checked = PayloadSchemas[type as keyof typeof PayloadSchemas].safeParse(payload);
    if (!checked.success) return { problem: `payload of ${type}: ${explain(checked.error)}` };
  }
  const problem = bytes <= SMALL_BYTES ? undefined : tooMuch(parsed.data);
  return problem === undefined ? { event: parsed.data } : { problem };
}

/** The events of a request body, or one line about the first thing that is wrong with it. */
export function parseEvents(json: unknown): { readonly events: EventInput[] } | { readonly problem: string } {
  if (!Array.isArray(json)) {
    const parsed = parseEvent(json);
    return "event" in parsed ? { events: [parsed.event] } : parsed;
  }
  if (json.length === 0) return { problem: "an array of events needs at least one" };
  if (json.length > MAX_EVENTS)
    return { problem: `an array of events has at most ${MAX_EVENTS}, this one has ${json.length}` };
  const events: EventInput[] = [];
  for (const [index, input] of json.entries()) {
    const parsed = parseEvent(input);
    if ("problem" in parsed) return { problem: `event ${index}: ${parsed.problem}` };
    events.push(parsed.event);
  }
  return { events };
}

/** As long as a timestamp that the broker writes. */
const NOW = "2026-01-31T12:00:00.000Z";

/** At most so many bytes has the event's line in a record: the same whenever it is published. */
export function lineBytes({ type, timestamp = NOW, payload, traceparent }: EventInput): number {
  return Buffer.byteLength(encodeEvent(type, timestamp, payload, traceparent) ?? "");
}

/** [EVENT-5] */
function tooMuch(event: EventInput): string | undefined {
  return lineBytes(event) > MAX_EVENT_BYTES ? "an event has at most 512 KiB" : undefined;
}

/** What reading takes and writing does not, or not as it was: any depth, and numbers that would become null. */
function flawOf(value: unknown, depth: number): string | undefined {
  if (typeof value === "number" && !Number.isFinite(value)) return "the payload has a number that no double can hold";
  if (typeof value !== "object" || value === null) return undefined;
  if (depth === 0) return `the payload is nested too deeply: at most ${MAX_DEPTH} arrays and objects in each other`;
  for (const part of Array.isArray(value) ? value : Object.values(value)) {
    const flaw = flawOf(part, depth - 1);
    if (flaw !== undefined) return flaw;
  }
  return undefined;
}

/** Whether a date-time is one for the log, too, which keeps it in UTC. */
function isTimestamp(text: string): boolean {
  if (!RFC3339.test(text)) return false;
  // An offset leads out of these years alone.
  if (!text.startsWith("0000") && !text.startsWith("9999")) return true;
  const ms = Date.parse(text);
  return ms >= FIRST_MS && ms <= LAST_MS;
}

function explain(error: z.ZodError): string {
  const issue = error.issues[0];
  const path = issue?.path.map(String).join(".") ?? "";
  return `${path === "" ? "" : `${path}: `}${issue?.message ?? "invalid"}`;
}
