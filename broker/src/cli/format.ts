import { styleText } from "node:util";
import type { KataEvent } from "@kata/realtime-client";

const LEVELS: Readonly<Record<string, Parameters<typeof styleText>[0]>> = {
  trace: "gray",
  debug: "gray",
  info: "green",
  warn: "yellow",
  error: "red",
  fatal: ["bold", "red"],
};

/**
 * One event as one line for a terminal: local time, level or type, message. What a producer wrote cannot steer the
 * terminal: control characters are shown, not sent.
 */
export function formatEvent(event: KataEvent, colour: boolean): string {
  const paint = (style: Parameters<typeof styleText>[0], text: string) => (colour ? styleText(style, text) : text);
  const time = paint("dim", clockOf(event.timestamp));
  if (event.type !== "log_entry" || !isObject(event.payload)) {
    return `${time} ${paint("cyan", event.type)} ${plain(JSON.stringify(event.payload))}`;
  }
  const { message, level, source, fields } = event.payload;
  const label = typeof level === "string" ? level : "info";
  const from = typeof source === "string" ? `${paint("dim", plain(source))} ` : "";
  const rest =
    isObject(fields) && Object.keys(fields).length > 0 ? ` ${paint("dim", plain(JSON.stringify(fields)))}` : "";
  return `${time} ${paint(LEVELS[label] ?? "white", plain(label).toUpperCase().padEnd(5))} ${from}${plain(String(message))}${rest}`;
}

function clockOf(timestamp: string): string {
  const date = new Date(timestamp);
  if (Number.isNaN(date.getTime())) return plain(timestamp);
  const two = (value: number) => String(value).padStart(2, "0");
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

/** Control characters but the tab, C1 included: `\p{Cc}` is exactly these. */
function plain(text: string): string {
  return text.replaceAll(/(?!\t)\p{Cc}/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
