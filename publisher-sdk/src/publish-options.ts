import type { PublisherError } from "./errors.ts";
import type { PublishResult } from "./outcome.ts";

/** How one event is published. */
export interface PublishOptions {
  /**
   * Takes the event back: it rejects with `aborted`. What has not been sent yet will not be (`stored` is `no`); what has, may get
   * into the log all the same (`unknown`), as may anything that a spool keeps.
   */
  readonly signal?: AbortSignal | undefined;
  /** How long it is tried, milliseconds; default the publisher's `publishTimeoutMs`. Given up at most a second late. */
  readonly timeoutMs?: number | undefined;
}

/** How several events of a channel are published. */
export interface PublishManyOptions extends PublishOptions {
  /**
   * 1–128 characters: the events are one record under this key, at most `maxRecordEvents` of them and 512 KiB. Published again within the
   * stream's duplicate window they are stored once, and get the eventIds of the first time; other events under the same
   * key are refused as `key_taken`.
   */
  readonly idempotencyKey?: string | undefined;
  /**
   * Whether what stands under the `idempotencyKey` already must be the same events; default true. With false a single event is taken for
   * stored as with a key of its own, whatever the first one was.
   */
  readonly compare?: boolean | undefined;
  /** With an `idempotencyKey`: what is known of attempts that somebody else made with the same events. */
  readonly attempt?: Attempt | undefined;
}

/** Attempts of one publish that were made elsewhere, by an earlier process or over another way. */
export interface Attempt {
  /** The publish's own id, `[A-Za-z0-9_-]{1,64}`: a stored copy that has it is no duplicate, but this very publish. */
  readonly publishId: string;
  /** How long ago the first attempt was made, milliseconds; 0: this is the first. */
  readonly sinceMs: number;
  /** An eventId that the log had before the first attempt; `undefined` if none is known. */
  readonly after?: string | undefined;
}

export interface PipeOptions<Channel extends string | undefined = string | undefined> extends PublishOptions {
  /** Where all events go; without it each names its own `channel`. */
  readonly channel?: Channel;
  /**
   * Told of each event that is in the log, in the order of its channel: of all of them, unless the pipe rejects with `stored: "unknown"`
   * or with an error that is no `PublisherError`.
   */
  readonly onResult?: ((result: PublishResult) => void) | undefined;
  /** How much may be on its way before the source has to wait, bytes; default 8 MiB, at most half of `maxQueueBytes`. */
  readonly windowBytes?: number | undefined;
}

export interface PipeResult {
  /** How many events the log has. */
  readonly events: number;
  /** How many of them it had before, by their idempotency keys. */
  readonly duplicates: number;
}

/** One record that is settled: for metrics. Called at the rate of records; what it throws is reported as a process warning. */
export interface RecordReport {
  readonly channel: string;
  readonly events: number;
  /** Length of the record, bytes. */
  readonly bytes: number;
  /** How often it was sent. */
  readonly attempts: number;
  /** From its first event until it was first sent, and from then until it was settled, milliseconds. */
  readonly waitedMs: number;
  readonly tookMs: number;
  /** Whether an earlier process had left it in the spool. */
  readonly recovered: boolean;
  /** Why it is not known to be in the log; `undefined` if it is. */
  readonly error: PublisherError | undefined;
}

/** What a publisher has done and what it is at. */
export interface PublisherStats {
  /** Whether the log can be reached, as far as is known. */
  readonly connected: boolean;
  /** Accepted and not settled yet: events, and what they count for in the bounded queue, bytes. */
  readonly queuedEvents: number;
  readonly queuedBytes: number;
  /** Channels with something on its way. */
  readonly channels: number;
  /** Since the publisher was created: events that the log has, that failed, and records that were sent again. */
  readonly published: number;
  readonly failed: number;
  readonly retries: number;
}
