import type { EventPayloads } from "@kata/protocol/wire";

export type LogLevel = NonNullable<EventPayloads["log_entry"]["level"]>;

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
}

const LEVELS: Readonly<Record<string, LogLevel>> = {
  TRC: "trace",
  DBG: "debug",
  INF: "info",
  WRN: "warn",
  ERR: "error",
  FTL: "fatal",
};

/**
 * Reads a line of nats-server's log, `[pid] date time [INF] message`. Undefined for decoration: the banner and the rules that
 * it draws. A line of another form (a Go panic, a complaint about the configuration) is an error.
 */
export function parseLogLine(line: string): LogLine | undefined {
  const match = /^\[\d+\] \S+ \S+ \[([A-Z]{3})\] ?(.*)$/.exec(line);
  const message = (match?.[2] ?? line).trim();
  if (!/[A-Za-z]{2}/.test(message)) return undefined;
  return { level: match === null ? "error" : (LEVELS[match[1] ?? ""] ?? "info"), message };
}
