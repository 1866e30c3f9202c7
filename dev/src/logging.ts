import { type Logger, pino } from "pino";
import { type LogEntry, parsePinoLine } from "./log-entry.ts";
import { type LogLine, parseLogLine } from "./nats/log-line.ts";
import { formatEntry } from "./terminal-log.ts";

export const NATS_SOURCE = "nats-server";

// A broker that is asked to log each event must not make an event of each such line.
const FORWARDED = new Set(["info", "warn", "error", "fatal"]);
// nats-server tells its life story at every start; the terminal gets what needs attention, the log has all of it.
const SHOWN_OF_NATS = new Set(["warn", "error", "fatal"]);

// Said of any user without an nkey. The password that nats.conf takes from the environment is random, and known here alone.
const NO_NEWS = "Plaintext passwords detected";

export interface LoggingOptions {
  readonly level: string;
  readonly print: (line: string) => void;
  readonly colored: boolean;
  readonly forward: (entry: LogEntry) => void;
}

/** The one log of a development start: to the terminal for people, and onward as events. */
export function createLogging({ level, print, colored, forward }: LoggingOptions): Logger {
  return pino(
    { level },
    {
      write(line: string) {
        const entry = parsePinoLine(line);
        if (entry === undefined) return;
        const { source, level = "info", message } = entry.payload;
        const shown = source !== NATS_SOURCE || (SHOWN_OF_NATS.has(level) && !message.startsWith(NO_NEWS));
        if (shown) print(formatEntry(entry, colored));
        if (FORWARDED.has(level)) forward(entry);
      },
    },
  );
}

/** Writes nats-server's lines into the log, as its own. */
export function createNatsLog(logger: Logger): (line: string) => void {
  const child = logger.child({ source: NATS_SOURCE });
  return (line) => {
    const parsed: LogLine | undefined = parseLogLine(line);
    if (parsed !== undefined) child[parsed.level](parsed.message);
  };
}
