import { isEventType, parseChannel } from "@kata/protocol/wire";
import { createPublisher, type EventInput, type Publisher, type PublisherOptions } from "@kata/publisher";
import { eventOf, parseJson } from "./event-of.ts";
import { exit } from "./exit.ts";
import { followInput } from "./follow-input.ts";
import { jsonLines, LOG_ENTRIES } from "./line-format.ts";
import { type Progress, whatWaits } from "./progress.ts";
import type { Destination } from "./publish-batch.ts";
import { type Input, publishLines } from "./publish-lines.ts";
import { publishTarget } from "./publish-target.ts";
import { complain } from "./report.ts";
import type { CommandLine } from "./settings.ts";
import { onStopSignals } from "./signals.ts";
import { watchStall } from "./stall.ts";
import { checkStateFiles } from "./state-files.ts";
import { NO_CHANNEL, UsageError } from "./usage-error.ts";

export interface PublishOptions extends CommandLine {
  readonly type: string;
  readonly data?: string;
  readonly follow?: string;
  /** Where a followed file is begun. */
  readonly from?: string;
  /** Where it is written down how far a followed file has got. */
  readonly state?: string;
  /** Whether a file that is not there is waited for. */
  readonly retry?: boolean;
  /** Why the stream ends; `true` where no reason is given. */
  readonly end?: string | true;
}

/** How long one event is tried, milliseconds. */
const PATIENCE_MS = 10_000;
/** How long after a signal a person is told why it has not ended yet, milliseconds. */
const STOP_TOLD_MS = 1_000;
/** Why a stream ends if nothing else is said. */
const COMPLETED = "completed";
/** Why it ends if the log has not everything that was to be in it, whatever is said. */
const FAILED = "failed";

/**
 * Publishes one event, or an event for each line of a file or of stdin, and the end of the stream. Resolves with the exit
 * code: 0 if the log has everything that was read.
 */
export async function publish(channel: string, options: PublishOptions): Promise<number> {
  const { type, data, follow, end } = options;
  if (data !== undefined ? follow !== undefined : follow === undefined && end === undefined) {
    throw new UsageError(
      "give either --data '{…}' for one event, or --follow FILE (- for stdin) for an event a line; --end alone ends a stream",
    );
  }
  if (!isEventType(type)) {
    throw new UsageError(`${type} is no event type: [a-z][a-z0-9_.]*, at most 128 characters, no control type`);
  }
  if (parseChannel(channel) === undefined) throw new UsageError(`${channel} ${NO_CHANNEL}`);
  checkFollowOptions(options);
  const ending = end === undefined ? [] : [endOf(end === true ? COMPLETED : end)];
  const single = data === undefined ? [] : [eventOf(type, parseJson(data))];
  const target = publishTarget(options, process.env);
  checkOwner(channel, target.teamId);
  if (follow !== undefined && options.state !== undefined) await checkStateFiles(options.state, follow);
  if (follow === undefined) {
    const publisher = await connect({ ...target, publishTimeoutMs: PATIENCE_MS });
    const results = await publisher.publishMany(channel, [...single, ...ending]);
    process.stdout.write(results.map(({ eventId }) => `${eventId}\n`).join(""));
    return 0;
  }
  const publisher = await connect({
    ...target,
    // A followed log waits for the log as long as it takes: its lines are not to be lost.
    publishTimeoutMs: Number.POSITIVE_INFINITY,
  });
  return await publishFollowed(publisher, channel, { ...options, follow, team: target.teamId }, ending);
}

type FollowedOptions = Omit<PublishOptions, "team"> & { readonly follow: string; readonly team: string | undefined };

/** @param ending the end of the stream, where it is to be said */
async function publishFollowed(
  publisher: Publisher,
  channel: string,
  options: FollowedOptions,
  ending: readonly EventInput[],
): Promise<number> {
  const stop = new AbortController();
  const progress: Progress = { published: 0, failed: 0, pending: 0, ending: false };
  onStopSignals(
    () => {
      stop.abort();
      setTimeout(() => {
        if (progress.pending === 0) return;
        const them = progress.ending ? "it" : "them";
        complain(`waiting for the log to have ${whatWaits(progress)}; stop once more to give ${them} up`);
      }, STOP_TOLD_MS).unref();
    },
    () => {
      const what = `${whatWaits(progress)} ${progress.ending ? "was" : "were"} not acknowledged`;
      complain(`stopped without waiting${progress.pending > 0 ? `: ${what}` : ""}`);
      void exit(1, 0);
    },
  );
  const endWatch = watchStall(progress, complain);
  const format = options.type === "log_entry" ? LOG_ENTRIES : jsonLines(options.type);
  const destination: Destination = { channel, publisher, format, progress, tell: complain };
  try {
    await followLines(options, destination, stop);
    if (ending.length > 0) await publishEnd(destination, progress.failed === 0 ? ending : [endOf(FAILED)]);
  } finally {
    endWatch();
  }
  return progress.failed === 0 ? 0 : 1;
}

async function followLines(options: FollowedOptions, destination: Destination, stop: AbortController): Promise<void> {
  const { progress, tell } = destination;
  const summarize = () =>
    tell(`${progress.published} lines published${progress.failed > 0 ? `, ${progress.failed} not` : ""}`);
  try {
    const input = await followInput(options, destination, stop.signal);
    if (input !== undefined) await publishOpened(input, destination, stop);
  } catch (error) {
    if (progress.published + progress.failed > 0) summarize();
    throw error;
  }
  summarize();
}

async function publishOpened(input: Input, destination: Destination, stop: AbortController): Promise<void> {
  try {
    await publishLines(input, destination, () => stop.abort());
  } finally {
    await input.source.close();
  }
}

async function publishEnd({ publisher, channel, progress }: Destination, ending: readonly EventInput[]): Promise<void> {
  progress.ending = true;
  progress.pending++;
  await publisher.publishMany(channel, ending);
  progress.pending--;
}

/** @throws UsageError for a reason that is none */
function endOf(reason: string): EventInput {
  return eventOf("stream_ended", { reason });
}

/** What goes with a followed file, or with following at all. */
function checkFollowOptions({ follow, from, state, retry }: PublishOptions): void {
  if (from !== undefined && from !== "start" && from !== "end") throw new UsageError("--from takes start or end");
  for (const [name, value] of Object.entries({ "--from": from, "--state": state, "--retry": retry })) {
    if (value !== undefined && (follow === undefined || follow === "-")) {
      throw new UsageError(`${name} goes with --follow FILE: what was read from stdin cannot be read again`);
    }
  }
}

/** Said before anything is connected to, and not once a line. */
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
