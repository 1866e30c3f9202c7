import type { LogEntry } from "./log-entry.ts";

const COLORS: Readonly<Record<string, number>> = { trace: 90, debug: 90, info: 32, warn: 33, error: 31, fatal: 31 };

/** An entry as a person reads it: `12:00:00.000 info  broker       message  key=value`. */
export function formatEntry({ timestamp, payload }: LogEntry, colored: boolean): string {
  const { level = "info", source = "", message, fields = {} } = payload;
  const paint = (code: number | undefined, text: string): string =>
    colored && code !== undefined ? `\u001b[${code}m${text}\u001b[0m` : text;
  const rest = Object.entries(fields).map(([key, value]) => printable(`${key}=${plain(value)}`));
  return [
    paint(90, clock(timestamp)),
    paint(COLORS[level], level.padEnd(5)),
    source.padEnd(11),
    printable(message),
    ...rest.map((field) => paint(90, field)),
  ].join(" ");
}

/** What comes from outside must not move the cursor or recolour the terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "\ufffd");
}

function plain(value: unknown): string {
  if (typeof value === "string") return value;
  // pino writes an error as {type, message, stack}; the stack is in the log itself.
  if (typeof value === "object" && value !== null && "message" in value) return String(value.message);
  return JSON.stringify(value);
}

function clock(time: Date): string {
  const two = (part: number): string => String(part).padStart(2, "0");
  const ms = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`;
}
