import type { Writable } from "node:stream";
import type { EventPayloads } from "@kata/protocol/wire";
import { type CaptureErrorListener, tellOnce } from "./capture-error.ts";
import type { EventInput } from "./event.ts";
import type { LineText } from "./line-cutter.ts";
import { type CaptureResult, LogFeed } from "./log-feed.ts";
import { LogWritable } from "./log-writable.ts";
import type { LogPublisher } from "./publisher.ts";

export { type CaptureConsoleOptions, type ConsoleCapture, captureConsole } from "./capture-console.ts";
export type { CaptureErrorListener } from "./capture-error.ts";
export type { CaptureResult } from "./log-feed.ts";
export { withoutCapture } from "./quiet.ts";

export interface CaptureOptions {
  /** The events' `source`: a file, a component, `stdout`. */
  readonly source?: string | undefined;
  /** The events' `level`. */
  readonly level?: NonNullable<EventPayloads["log_entry"]["level"]> | undefined;
  /** Default: the first failure is said on stderr, in one line. */
  readonly onError?: CaptureErrorListener | undefined;
}

/**
 * A stream to pipe text into: each line becomes a `log_entry`, as with `kata publish --follow`. It takes more only while the publisher
 * does, and finishes when the log has all of it; events are tried for as long as that takes. It has no errors of its own and
 * leaves the publisher open.
 */
export function createWritable(publisher: LogPublisher, channel: string, options: CaptureOptions = {}): Writable {
  return writableOf(feedOf(publisher, channel, options), options);
}

/**
 * Publishes each line of a stream (a child's `stdout`, a socket, a file) as a `log_entry`, and takes no more from it while too much is on
 * its way. Resolves when it has ended and everything is settled. Rejects with the stream's own error, when what came before is settled.
 */
export async function captureStream(
  publisher: LogPublisher,
  channel: string,
  readable: AsyncIterable<string | Uint8Array>,
  options: CaptureOptions = {},
): Promise<CaptureResult> {
  const feed = feedOf(publisher, channel, options);
  const writable = writableOf(feed, options);
  try {
    for await (const chunk of readable) {
      await new Promise((resolve) => writable.write(chunk, resolve));
    }
  } finally {
    await new Promise<void>((resolve) => writable.end(resolve));
  }
  return feed.result;
}

function feedOf(publisher: LogPublisher, channel: string, options: CaptureOptions): LogFeed {
  const onError = options.onError ?? tellOnce(`lines for ${channel} were lost`);
  return new LogFeed({ publisher, channel, onError, whenFull: "wait" });
}

function writableOf(feed: LogFeed, { source, level }: CaptureOptions): LogWritable {
  const about = { ...(level !== undefined && { level }), ...(source !== undefined && { source }) };
  const eventsOf = (text: LineText): EventInput => ({ type: "log_entry", payload: { ...text, ...about } });
  return new LogWritable({ feed, eventsOf });
}
