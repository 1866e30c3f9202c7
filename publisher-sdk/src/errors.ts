/**
 * Why an event was not published. `retryable`: whether publishing the same event later can succeed.
 * The codes that the protocol also has mean the same there.
 */
const POLICY = {
  /** No channel, or its id is none: `team:{id}`, `spec:{id}`, `agent:{id}`. */
  invalid_channel: { retryable: false },
  /** A type, payload, timestamp or idempotency key that no event can have. */
  invalid_event: { retryable: false },
  /** The event's line is over its limit, or over what NATS or the stream takes. */
  too_large: { retryable: false },
  /** Another team's channel, or NATS refuses this publisher the channel; over HTTP a key without the scope `publish`; at the start: the key is another team's. */
  forbidden: { retryable: false },
  /** The API key is not valid; NATS refused the credentials, as those of a key without the scope `publish`. */
  unauthenticated: { retryable: false },
  /** Something else stands under the id of its idempotency key: publish it with another key. */
  key_taken: { retryable: false },
  /** The log refused the record for good: a sealed stream, or another stream on the subject. Or a gateway did, as too large, and the log has it all the same. */
  rejected: { retryable: false },
  /** More is waiting than `maxQueueBytes`: wait for some of it (`flush()`), then go on. */
  queue_full: { retryable: true },
  /** Its `AbortSignal` was aborted: see `stored` whether it was too late to take the event back. */
  aborted: { retryable: false },
  /** The publisher was closed before the log had it: it is kept in the spool, and sent by the next publisher that opens that. */
  spooled: { retryable: false },
  /** The spool cannot keep it: no space, no permission, another process has it. */
  spool_failed: { retryable: true },
  /** The log did not answer in time, see `stored`; at the start: no NATS, or no broker that vouches for the API key. */
  unavailable: { retryable: true },
  /** This publisher, or the connection it was given, is closed. */
  closed: { retryable: false },
} as const;

export type PublisherErrorCode = keyof typeof POLICY;

/** Whether an event that was rejected can be in the log all the same. */
export type Stored = "no" | "unknown";

/** Everything that `publish`, `publishMany`, `close` and `createPublisher` reject with, a caller's bad options excepted (TypeError). */
export class PublisherError extends Error {
  readonly code: PublisherErrorCode;
  readonly retryable: boolean;
  /**
   * `no`: the event is not in the log and will not get there. `unknown`: it was sent and no answer came, or a spool has it, or may have it;
   * publish with an idempotency key where that matters. The error of a `publishMany()` or a `pipe()` is about all of its events.
   */
  readonly stored: Stored;

  constructor(code: PublisherErrorCode, message: string, options: { stored?: Stored; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "PublisherError";
    this.code = code;
    this.retryable = POLICY[code].retryable;
    this.stored = options.stored ?? "no";
  }
}

/** What one event was rejected with, as the error of several: the log has some of them, or may have. */
export function withUnknown(error: PublisherError): PublisherError {
  if (error.stored === "unknown") return error;
  return new PublisherError(error.code, error.message, { stored: "unknown", cause: error });
}

/** More is waiting than `maxQueueBytes`: `queue_full`. Publish again when there is room, for example after `flush()`. */
export class QueueFullError extends PublisherError {
  /** How many events are accepted and not settled yet. */
  readonly queuedEvents: number;
  /** What they count for, bytes. */
  readonly queuedBytes: number;
  readonly maxQueueBytes: number;

  constructor(queuedEvents: number, queuedBytes: number, maxQueueBytes: number, problem: string) {
    super(
      "queue_full",
      `${queuedEvents} events wait (${queuedBytes} bytes, maxQueueBytes ${maxQueueBytes}): ${problem}`,
    );
    this.name = "QueueFullError";
    this.queuedEvents = queuedEvents;
    this.queuedBytes = queuedBytes;
    this.maxQueueBytes = maxQueueBytes;
  }
}

/** What answers is no broker, or none that can be trusted: that does not look as if it would pass. */
export class NoBrokerError extends PublisherError {
  constructor(message: string) {
    super("unavailable", message);
  }
}

/** Hands an `unavailable` over instead of throwing it: it may pass. */
export function orUnavailable<T>(attempt: Promise<T>): Promise<T | PublisherError> {
  return attempt.catch((error: unknown) => {
    if (error instanceof PublisherError && error.code === "unavailable") return error;
    throw error;
  });
}
