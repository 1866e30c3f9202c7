import type { EventInput, Publisher } from "@kata/publisher";
import type { Line } from "./lines.ts";
import { complain } from "./report.ts";

/**
 * How far lines are read ahead of what the log has, in bytes that they can take in the publisher's queue (64 MiB), so that
 * it never turns one away.
 */
const AHEAD_BYTES = 48 * 1024 * 1024;
/** What an event weighs there beyond its payload. */
const EVENT_BYTES = 512;
/** JSON writes a control character, which is one byte of a line, as six. */
const GROWTH = 6;

/** How far it is. */
export interface Progress {
  published: number;
  failed: number;
  /** Not acknowledged yet. */
  pending: number;
}

export interface PublishLinesOptions {
  readonly lines: AsyncIterable<Line>;
  readonly channel: string;
  readonly publisher: Publisher;
  /** The event of a line; `undefined` for a line without one. Throws for a line that cannot be one. */
  readonly eventOf: (line: string) => EventInput | undefined;
  /** Kept up to date. */
  readonly progress: Progress;
}

/**
 * Publishes an event for each line, in order. A line that cannot be one is reported with its number; the others go on.
 * Resolves when the lines have ended and the log has them, however long that takes.
 *
 * @throws what `lines` throws, after the lines before it were published
 */
export async function publishLines(options: PublishLinesOptions): Promise<void> {
  const { lines, channel, publisher, eventOf, progress } = options;
  let number = 0;
  let ahead = 0;

  const failed = (line: number, error: unknown) => {
    progress.failed++;
    complain(`line ${line} was not published: ${error instanceof Error ? error.message : String(error)}`);
  };
  const publish = (at: number, text: string) => {
    const event = eventOf(text);
    if (event === undefined) return;
    const bytes = text.length * GROWTH + EVENT_BYTES;
    ahead += bytes;
    progress.pending++;
    publisher
      .publish(channel, event)
      .then(
        () => {
          progress.published++;
        },
        (error: unknown) => failed(at, error),
      )
      .finally(() => {
        progress.pending--;
        ahead -= bytes;
      });
  };

  try {
    for await (const line of lines) {
      const at = ++number;
      try {
        if (line.text === undefined) throw new Error(`it has ${line.bytes} bytes, an event has at most 512 KiB`);
        publish(at, line.text);
      } catch (error) {
        failed(at, error);
      }
      if (ahead >= AHEAD_BYTES) await publisher.flush();
    }
  } finally {
    await publisher.flush();
  }
}
