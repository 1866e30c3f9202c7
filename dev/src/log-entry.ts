import type { EventPayloads } from "@kata/protocol/wire";
import { z } from "zod";

export interface LogEntry {
  readonly timestamp: Date;
  readonly payload: EventPayloads["log_entry"];
}

const LEVELS = { 10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal" } as const;

const PinoLineSchema = z.looseObject({
  level: z.number(),
  time: z.number(),
  msg: z.string().default(""),
  source: z.string().default("broker"),
});

/** A line that pino wrote, as the log entry that it is. Undefined for what pino did not write. */
export function parsePinoLine(line: string): LogEntry | undefined {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return undefined;
  }
  const parsed = PinoLineSchema.safeParse(json);
  if (!parsed.success) return undefined;
  const { level, time, msg, source, pid: _pid, hostname: _hostname, ...fields } = parsed.data;
  return {
    timestamp: new Date(time),
    payload: {
      message: msg,
      level: levelOf(level),
      source,
      ...(Object.keys(fields).length > 0 ? { fields } : {}),
    },
  };
}

function levelOf(level: number): NonNullable<EventPayloads["log_entry"]["level"]> {
  const known = Object.keys(LEVELS)
    .map(Number)
    .filter((each) => each <= level);
  return LEVELS[(known.at(-1) ?? 10) as keyof typeof LEVELS];
}
