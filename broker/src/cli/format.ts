import type { KataEvent } from "@kata/realtime-client";
import { plain } from "./plain.ts";

export interface Format {
  readonly colour: boolean;
  /** An event of another day than this one's is printed with its date. */
  readonly now: Date;
}

/** SGR parameters: how to begin, and how to end. Own ones: those of `node:util` depend on the version and on stdout. */
const STYLES = {
  dim: [2, 22],
  bold: [1, 22],
  gray: [90, 39],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const;
type Style = keyof typeof STYLES;

const LEVELS: ReadonlyMap<string, Style> = new Map([
  ["trace", "gray"],
  ["debug", "gray"],
  ["info", "green"],
  ["warn", "yellow"],
  ["error", "red"],
  ["fatal", "red"],
]);

/**
 * One event as one line for a terminal: local time, level or type, message. What a producer wrote cannot steer the
 * terminal: control characters are shown, not sent.
 */
export function formatEvent(event: KataEvent, { colour, now }: Format): string {
  const paint = (style: Style | undefined, text: string) => {
    if (!colour || style === undefined) return text;
    const [begin, end] = STYLES[style];
    return `\x1b[${begin}m${text}\x1b[${end}m`;
  };
  const time = paint("dim", clockOf(event.timestamp, now));
  if (event.type !== "log_entry" || !isObject(event.payload)) {
    return `${time} ${paint("cyan", plain(event.type))} ${textOf(event.payload)}`;
  }
  const { message, level, source, fields } = event.payload;
  const label = typeof level === "string" ? level : "info";
  const tag = paint(LEVELS.get(label), plain(label).toUpperCase().padEnd(5));
  const parts = [time, label === "fatal" ? paint("bold", tag) : tag];
  if (typeof source === "string") parts.push(paint("dim", plain(source)));
  parts.push(typeof message === "string" ? plain(message) : textOf(message));
  if (isObject(fields) && Object.keys(fields).length > 0) parts.push(paint("dim", textOf(fields)));
  return parts.join(" ");
}

function clockOf(timestamp: string, now: Date): string {
  const date = new Date(timestamp);
  if (Number.isNaN(date.getTime())) return plain(timestamp);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const clock = `${time}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  const day = dayOf(date);
  return day === dayOf(now) ? clock : `${day} ${clock}`;
}

function dayOf(date: Date): string {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** `undefined`, of a payload without the field, has no JSON. */
function textOf(value: unknown): string {
  return value === undefined ? "" : plain(JSON.stringify(value));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
