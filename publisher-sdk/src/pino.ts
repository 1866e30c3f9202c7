import type { Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { MAX_EVENT_BYTES } from "@kata/protocol/wire";
import { backoffMs } from "./backoff.ts";
import { type CaptureErrorListener, say, tellOnce } from "./capture-error.ts";
import { PublisherError } from "./errors.ts";
import { LineCutter } from "./line-cutter.ts";
import { LogFeed, type WhenFull } from "./log-feed.ts";
import { LogWritable } from "./log-writable.ts";
import { type PublisherOptions, settingsOf } from "./options.ts";
import { eventsOfPinoLine, type PinoLineOptions } from "./pino-line.ts";
import { createPublisher, type LogPublisher, type Publisher } from "./publisher.ts";

/** What an event has beside what was in pino's line, bytes: the names of its fields. */
const FRAME_BYTES = 1024;
/** pino waits ten seconds at most when the process ends, and then says nothing of what is lost. */
const CLOSE_TIMEOUT_MS = 8_000;

export interface PinoStreamOptions extends PinoLineOptions {
  /** Default: the first failure is said on stderr, in one line. */
  readonly onError?: CaptureErrorListener;
  /**
   * What happens while the publisher's queue is full. `lose` (default): lines are lost, and reported to `onError`, because pino does not
   * wait for a stream and would fill the memory. `wait`: the stream makes its writer wait, for `pipe`.
   */
  readonly whenFull?: WhenFull;
}

/** Where the entries go, and what the publisher is made with, of which functions and connections cannot be handed to a worker. */
export interface PinoTransportOptions
  extends Omit<PublisherOptions, "connection" | "onRecord" | "traceparent" | "drainOnExit" | "publishTimeoutMs">,
    PinoLineOptions {
  readonly channel: string;
  /** How long the end of the process may wait for what is left, milliseconds; default 8,000. pino kills the worker after 10,000. */
  readonly closeTimeoutMs?: number;
}

/**
 * A stream for pino in the same thread, `pino(createPinoStream(publisher, channel))`: each line becomes a `log_entry`. The publisher
 * stays the caller's. Before it is closed, `logger.flush(callback)` tells when everything is settled.
 */
export function createPinoStream(publisher: LogPublisher, channel: string, options: PinoStreamOptions = {}): Writable {
  const { whenFull = "lose", onError = tellOnce(lostFor(channel)) } = options;
  const feed = new LogFeed({ publisher, channel, onError, whenFull });
  return new LogWritable({ feed, ...linesOf(options) });
}

/**
 * pino's transport: `pino.transport({target: "@kata/publisher/pino", options: {channel, servers, apiKey}})` runs a publisher in pino's worker
 * thread. It connects in its own time and keeps what comes until then, waits for as long as NATS is away, and has everything in the
 * log before the process ends, or says on stderr how much is not.
 *
 * @throws TypeError for options that no publisher can have: pino reports it as the transport's error
 */
// biome-ignore lint/style/noDefaultExport: pino loads a transport by its default export
export default function createPinoTransport(options: PinoTransportOptions): Writable {
  const { channel, closeTimeoutMs = CLOSE_TIMEOUT_MS } = options;
  if (typeof channel !== "string") throw new TypeError("the transport needs a channel in its options");
  // What is left at the end is waited for here, with what has not even reached the publisher.
  const own: PublisherOptions = { ...options, closeTimeoutMs: 0, publishTimeoutMs: Infinity };
  settingsOf({ ...own, closeTimeoutMs });

  const stopped = new AbortController();
  const publisher = connect(own, stopped.signal);
  // Told by the feed when there is something to lose; without a line yet nobody listens.
  publisher.catch(() => undefined);
  const close = (): Promise<void> =>
    publisher
      .then((connected) => connected.close())
      // What was left is counted by the feed.
      .catch(() => undefined);
  const feed = new LogFeed({ publisher, channel, onError: tellOnce(lostFor(channel)), whenFull: "wait" });
  let timer: NodeJS.Timeout | undefined;
  return new LogWritable({
    feed,
    ...linesOf(options),
    ending: () => {
      timer ??= setTimeout(() => {
        stopped.abort();
        void close();
      }, closeTimeoutMs);
    },
    closed: async () => {
      clearTimeout(timer);
      stopped.abort();
      await close();
      const { lost } = feed.result;
      if (lost > 0) say(`kata: ${lost} log entries for ${channel} are not known to be in the log`);
    },
  });
}

/**
 * Connects, however long that takes: an application that starts before NATS does is not to lose its first lines.
 *
 * @throws PublisherError when it cannot succeed, or `unavailable` when it is stopped
 */
async function connect(options: PublisherOptions, signal: AbortSignal): Promise<Publisher> {
  for (let failures = 0; ; failures++) {
    try {
      return await createPublisher(options);
    } catch (error) {
      if (!(error instanceof PublisherError && error.retryable) || signal.aborted) throw error;
      if (failures === 0) say(`kata: log entries wait until there is a connection: ${error.message}`);
      await delay(backoffMs(failures), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) throw error;
    }
  }
}

function linesOf(options: PinoLineOptions) {
  // A line of pino's is JSON already: it does not grow by much.
  const cutter = new LineCutter((line) => line.length + FRAME_BYTES <= MAX_EVENT_BYTES);
  return { cutter, eventsOf: (text: Parameters<typeof eventsOfPinoLine>[0]) => eventsOfPinoLine(text, options) };
}

function lostFor(channel: string): string {
  return `log entries for ${channel} were lost`;
}
