import { type EventPayloads, isTraceparent } from "@kata/protocol/wire";
import { type EventInput, encodeLine } from "./event.ts";
import { type LineText, textsOf } from "./line-cutter.ts";

type LogEntry = EventPayloads["log_entry"];
type Level = NonNullable<LogEntry["level"]>;
type Fields = Record<string, unknown>;

/** pino's own numbers; one in between counts as the level below it. */
const LEVELS: readonly (readonly [number, Level])[] = [
  [60, "fatal"],
  [50, "error"],
  [40, "warn"],
  [30, "info"],
  [20, "debug"],
];
const NAMES: ReadonlySet<unknown> = new Set<Level>(["trace", "debug", "info", "warn", "error", "fatal"]);

/** A number of seconds since 1970 stays below this for 3,000 years; milliseconds were there in April 1970. */
const MAX_SECONDS = 1e10;

export interface PinoLineOptions {
  /** pino's `messageKey`; default `msg`. */
  readonly messageKey?: string;
}

/**
 * A line of pino's as `log_entry` events: one, or several parts of a line that is too long. What is no JSON object is a message as
 * it is. What has no place of its own goes into `fields`, as does what cannot be what its name says.
 */
export function eventsOfPinoLine(text: LineText, options: PinoLineOptions = {}): EventInput[] {
  if (text.message === "") return [];
  const object = text.part === undefined ? objectOf(text.message) : undefined;
  if (object !== undefined) return [eventOf(object, options.messageKey ?? "msg")];
  const texts = text.part === undefined && text.bytes === undefined ? textsOf(text.message) : [text];
  return texts.map((payload) => ({ type: "log_entry", payload }));
}

function eventOf(object: Fields, messageKey: string): EventInput {
  const fields = { ...object };
  const message = take(fields, messageKey, (value) => value !== undefined);
  const level = take(fields, "level", isLevel);
  const source = take(fields, "name", (value) => typeof value === "string");
  const timestamp = takeTimestamp(fields);
  const traceparent = takeTraceparent(fields);
  return {
    type: "log_entry",
    timestamp,
    traceparent,
    payload: {
      message: typeof message === "string" ? message : messageOf(message, fields),
      ...(level !== undefined && { level: levelOf(level) }),
      ...(source !== undefined && { source }),
      ...(Object.keys(fields).length > 0 && { fields }),
    },
  };
}

/** An entry without a message is about its error, if it has one. */
function messageOf(message: unknown, fields: Fields): string {
  if (message !== undefined) return JSON.stringify(message);
  const { err } = fields;
  const text = typeof err === "object" && err !== null && "message" in err ? err.message : undefined;
  return typeof text === "string" ? text : "";
}

/** The trace context that pino's OpenTelemetry instrumentation adds as three fields, or a property that is one already. */
function takeTraceparent(fields: Fields): string | undefined {
  const given = take(fields, "traceparent", isTraceparent);
  if (given !== undefined) return given as string;
  const { trace_id, span_id, trace_flags = "00" } = fields;
  if ([trace_id, span_id, trace_flags].some((part) => typeof part !== "string")) return undefined;
  const built = `00-${trace_id}-${span_id}-${trace_flags}`;
  if (!isTraceparent(built)) return undefined;
  for (const name of ["trace_id", "span_id", "trace_flags"]) delete fields[name];
  return built;
}

/** Takes a field out if it is what it should be. */
function take(fields: Fields, name: string, fits: (value: unknown) => boolean): unknown {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (!fits(value)) return undefined;
  delete fields[name];
  return value;
}

function isLevel(value: unknown): boolean {
  return typeof value === "number" || NAMES.has(value);
}

function levelOf(value: unknown): Level {
  if (typeof value !== "number") return value as Level;
  return LEVELS.find(([number]) => value >= number)?.[1] ?? "trace";
}

/** pino writes milliseconds since 1970, or with another `timestamp` function seconds or RFC 3339. */
function takeTimestamp(fields: Fields): Date | string | undefined {
  const time = Object.hasOwn(fields, "time") ? fields.time : undefined;
  const timestamp = typeof time === "number" ? new Date(Math.abs(time) < MAX_SECONDS ? time * 1_000 : time) : time;
  if (!isTimestamp(timestamp)) return undefined;
  delete fields.time;
  return timestamp;
}

/** Asked of what encodes events: by a rule of its own, a line could be taken here and refused there. */
function isTimestamp(value: unknown): value is Date | string {
  if (typeof value !== "string" && !(value instanceof Date)) return false;
  try {
    encodeLine({ type: "log_entry", timestamp: value, payload: null });
    return true;
  } catch {
    return false;
  }
}

function objectOf(line: string): Fields | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as Fields;
  } catch {
    return undefined;
  }
}
