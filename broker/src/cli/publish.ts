import { isEventType, parseChannel } from "@kata/protocol/wire";
import { createPublisher, type EventInput, type Publisher, type PublisherOptions } from "@kata/publisher";
import { parseEvents } from "../event-input.ts";
import { exit } from "./exit.ts";
import { followFile } from "./follow.ts";
import { type Progress, publishLines } from "./publish-lines.ts";
import { complain } from "./report.ts";
import { type CommandLine, publisherSettings } from "./settings.ts";
import { onStopSignals } from "./signals.ts";
import { watchStall } from "./stall.ts";
import { readStdin } from "./stdin.ts";
import { NO_CHANNEL, UsageError } from "./usage-error.ts";

export interface PublishOptions extends CommandLine {
  readonly type: string;
  readonly data?: string;
  readonly follow?: string;
}

/** How long one event is tried, milliseconds. */
const PATIENCE_MS = 10_000;
/** How long after a signal a person is told why it has not ended yet, milliseconds. */
const STOP_TOLD_MS = 1_000;

/**
 * Publishes one event, or an event for each line of a file or of stdin. Resolves with the exit code: 0 if the log has
 * everything that was read.
 */
export async function publish(channel: string, options: PublishOptions): Promise<number> {
  const { type, data, follow } = options;
  if ((data === undefined) === (follow === undefined)) {
    throw new UsageError("give either --data '{…}' for one event, or --follow FILE (- for stdin) for an event a line");
  }
  if (!isEventType(type)) {
    throw new UsageError(`${type} is no event type: [a-z][a-z0-9_.]*, at most 128 characters, no control type`);
  }
  if (parseChannel(channel) === undefined) throw new UsageError(`${channel} ${NO_CHANNEL}`);
  const event = data === undefined ? undefined : eventOf(type, parseJson(data));
  const settings = publisherSettings(options, process.env);
  checkOwner(channel, settings.teamId);
  if (event !== undefined) {
    const publisher = await connect({ ...settings, publishTimeoutMs: PATIENCE_MS });
    const { eventId } = await publisher.publish(channel, event);
    process.stdout.write(`${eventId}\n`);
    return 0;
  }
  const publisher = await connect({
    ...settings,
    // A followed log waits for NATS as long as it takes: its lines are not to be lost.
    publishTimeoutMs: Number.POSITIVE_INFINITY,
  });
  return await publishFollowed(publisher, channel, type, follow as string);
}

async function publishFollowed(publisher: Publisher, channel: string, type: string, follow: string): Promise<number> {
  const stop = new AbortController();
  const progress: Progress = { published: 0, failed: 0, pending: 0 };
  onStopSignals(
    () => {
      stop.abort();
      setTimeout(() => {
        if (progress.pending > 0)
          complain(`waiting for the log to have ${progress.pending} lines; stop once more to give them up`);
      }, STOP_TOLD_MS).unref();
    },
    () => {
      complain(`stopped without waiting: ${progress.pending} lines were not acknowledged`);
      void exit(1, 0);
    },
  );
  const endWatch = watchStall(progress, complain);
  const lines = follow === "-" ? readStdin(process.stdin, stop.signal) : followFile(follow, stop.signal);
  let unreadable: UsageError | undefined;
  try {
    await publishLines({ lines, channel, publisher, progress, eventOf: (line) => eventOfLine(type, line) });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    unreadable = error;
  }
  endWatch();
  const { published, failed } = progress;
  if (unreadable === undefined || published + failed > 0) {
    complain(`${published} lines published${failed > 0 ? `, ${failed} not` : ""}`);
  }
  if (unreadable !== undefined) throw unreadable;
  return failed === 0 ? 0 : 1;
}

/** A log entry's line is its message as it is; of any other type it is the payload, and a blank line is none. */
function eventOfLine(type: string, line: string): EventInput | undefined {
  if (type === "log_entry") return { type, payload: { message: line } };
  return line.trim() === "" ? undefined : eventOf(type, parseJson(line));
}

function eventOf(type: string, payload: unknown): EventInput {
  const parsed = parseEvents({ type, payload });
  if ("problem" in parsed) throw new UsageError(parsed.problem);
  return { type, payload };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`not JSON: ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`);
  }
}

/** Said before NATS is bothered, and not once a line. */
function checkOwner(channel: string, teamId: string | undefined): void {
  if (teamId !== undefined && channel.startsWith("team:") && channel !== `team:${teamId}`)
    throw new UsageError(`${channel} does not belong to team ${teamId}`);
}

async function connect(options: PublisherOptions): Promise<Publisher> {
  try {
    return await createPublisher(options);
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(error.message);
    throw error;
  }
}
