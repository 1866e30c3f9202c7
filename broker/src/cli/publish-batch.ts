import { type EventInput, type Publisher, PublisherError, type PublishManyOptions } from "@kata/publisher";
import type { LineFormat } from "./line-format.ts";
import type { NameLine } from "./line-name.ts";
import type { Progress } from "./progress.ts";
import type { StretchKind } from "./stretch.ts";
import { UsageError } from "./usage-error.ts";

/** Where lines go, and how. */
export interface Destination {
  readonly channel: string;
  readonly publisher: Publisher;
  readonly format: LineFormat;
  /** Kept up to date. */
  readonly progress: Progress;
  /** Told what a person should know, one line. */
  readonly tell: (line: string) => void;
}

/** The events of a stretch. */
export interface Batch {
  readonly events: readonly EventInput[];
  /** How many lines they are: a part of one counts when it is the last. */
  readonly lines: number;
  readonly nameLine: NameLine;
}

/** Something is not, or may not be, in the log, and cannot be brought there any more. */
export function countLost({ progress, tell }: Pick<Destination, "progress" | "tell">, line: string): void {
  progress.failed++;
  tell(line);
}

/** Makes the events of a stretch; a line that cannot be one is told. */
export function batchOf(
  destination: Destination,
  bytes: Buffer,
  stretch: StretchKind,
  timestamp: string | undefined,
  nameLine: NameLine,
): Batch {
  const events = destination.format.eventsOf(bytes, stretch, timestamp, (line, why) => {
    countLost(destination, `${nameLine(line)} was not published: ${why}`);
  });
  return { events, lines: stretch.more === true ? 0 : events.length, nameLine };
}

/**
 * Publishes a batch. Resolves with its last eventId when the log has it, or with `undefined` if it was a single line that
 * the log does not take, of which it is told.
 *
 * @throws PublisherError if what is wrong is wrong with all lines; UsageError if the log takes no such batches
 */
export async function publishBatch(
  { channel, publisher, progress, tell }: Destination,
  { events, lines, nameLine }: Batch,
  options?: PublishManyOptions,
): Promise<string | undefined> {
  if (events.length === 0) return undefined;
  progress.pending += lines;
  try {
    const results = await publisher.publishMany(channel, events, options);
    progress.published += lines;
    return results.at(-1)?.eventId;
  } catch (error) {
    progress.failed += Math.max(1, lines);
    const alone = events.length === 1 && error instanceof PublisherError && error.code === "too_large";
    if (!alone) throw options === undefined ? error : asStated(error);
    tell(`${nameLine(0)} was not published: ${error.message}`);
    return undefined;
  } finally {
    progress.pending -= lines;
  }
}

/** A batch with a key is one record: it cannot be published in smaller ones, behind which others are on their way already. */
function asStated(error: unknown): unknown {
  if (!(error instanceof PublisherError && error.code === "too_large")) return error;
  return new UsageError(
    `the log does not take batches of lines (${error.message}): with --state, NATS's max_payload and the stream's max_msg_size must be at least 1 MB`,
  );
}
