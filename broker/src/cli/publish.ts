import { parseChannel } from "@kata/protocol";
import { createPublisher, type EventInput, type Publisher } from "@kata/publisher";
import { parseEvents } from "../event-input.ts";
import { followFile, readLines } from "./follow.ts";
import { type CommandLine, publisherSettings } from "./settings.ts";
import { UsageError } from "./usage-error.ts";

export interface PublishOptions extends CommandLine {
  readonly type: string;
  readonly data?: string;
  readonly follow?: string;
}

/** Publishes one event, or a line each of a file or of stdin. Resolves with the exit code. */
export async function publish(channel: string, options: PublishOptions): Promise<number> {
  if (parseChannel(channel) === undefined)
    throw new UsageError(`${channel} is no channel: team:{id}, spec:{id} or agent:{id}`);
  if ((options.data === undefined) === (options.follow === undefined)) {
    throw new UsageError("give either --data '{…}' for one event, or --follow FILE (- for stdin) for an event a line");
  }
  const single = options.data === undefined ? undefined : eventOf(options.type, parseJson(options.data));
  // A followed log waits for NATS as long as it takes: its lines are not to be lost.
  const patience = single === undefined ? { publishTimeoutMs: Number.POSITIVE_INFINITY } : {};
  const publisher = await createPublisher({ ...publisherSettings(options, process.env), ...patience });
  try {
    if (single === undefined) return await publishLines(publisher, channel, options);
    const { eventId } = await publisher.publish(channel, single);
    process.stdout.write(`${eventId}\n`);
    return 0;
  } finally {
    await publisher.close();
  }
}

async function publishLines(publisher: Publisher, channel: string, { type, follow }: PublishOptions): Promise<number> {
  const stop = new AbortController();
  let code = 0;
  process.once("SIGINT", () => stop.abort());
  process.once("SIGTERM", () => stop.abort());
  const lines = follow === "-" ? readLines(process.stdin, stop.signal) : followFile(follow as string, stop.signal);
  let number = 0;
  let pending = 0;
  const complain = (line: number, error: unknown) => {
    code = 1;
    process.stderr.write(
      `kata: line ${line} was not published: ${error instanceof Error ? error.message : String(error)}\n`,
    );
  };
  for await (const line of lines) {
    const at = ++number;
    let event: EventInput;
    try {
      event = type === "log_entry" ? { type, payload: { message: line } } : eventOf(type, parseJson(line));
    } catch (error) {
      complain(at, error);
      continue;
    }
    const bytes = line.length + EVENT_BYTES;
    pending += bytes;
    publisher
      .publish(channel, event)
      .catch((error: unknown) => complain(at, error))
      .finally(() => {
        pending -= bytes;
      });
    if (pending >= HIGH_WATER_BYTES) await publisher.flush();
  }
  await publisher.flush();
  process.stderr.write(`kata: ${number} lines read\n`);
  return code;
}

/** Lines are read only so far ahead that the publisher's queue (64 MiB) can never turn one away. */
const HIGH_WATER_BYTES = 32 * 1024 * 1024;
/** What an event weighs in that queue beyond its text, with room to spare. */
const EVENT_BYTES = 512;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`not JSON: ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`);
  }
}

function eventOf(type: string, payload: unknown): EventInput {
  const parsed = parseEvents({ type, payload });
  if ("problem" in parsed) throw new UsageError(parsed.problem);
  return { type, payload };
}
