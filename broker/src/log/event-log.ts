/** A message of the log as it is stored. */
export interface StoredRecord {
  /** Its sequence in the stream, from 1. */
  readonly seq: number;
  readonly subject: string;
  /** What tells it from another message at the same sequence, see `checkOf` of @kata/protocol. */
  readonly check: string;
  /** The stored bytes: NDJSON, or whatever a stranger published. */
  readonly data: Uint8Array;
}

/** The newest message of a subject, as the leader gives it. */
export interface HeadRecord extends StoredRecord {
  /** When it was stored, milliseconds since 1970. */
  readonly storedAtMs: number;
}

/** A stored message that was just republished. */
export interface LiveRecord extends StoredRecord {
  /** The sequence of the message before it on the same subject; 0 if the log holds none. */
  readonly prevSeq: number;
}

/** Which record it is, without its bytes. */
export interface RecordMark {
  readonly seq: number;
  readonly check: string;
}

export interface LogState {
  /** Which incarnation of the stream this is. */
  readonly epoch: string;
  /** The oldest sequence that is left; `lastSeq + 1` if none is. */
  readonly firstSeq: number;
  /** The newest sequence that was ever given out. */
  readonly lastSeq: number;
}

/** Some history of one subject, in order. */
export interface LogPage {
  readonly records: readonly StoredRecord[];
  /** How many further records of the subject stood behind the last one when it was read. */
  readonly pending: number;
}

export interface PageRequest {
  readonly subject: string;
  /** Start at the first record at or after this sequence, or stored at or after this time (ms since 1970). */
  readonly from: { readonly seq: number } | { readonly timeMs: number };
  /** At most this many records. */
  readonly records: number;
  /** No further record once this many bytes were read; at least one is always returned. */
  readonly bytes: number;
}

export interface LiveFeed {
  close(): void;
}

/** What happened to the connection to the log, or to the log itself. */
export type LogEvent = "disconnected" | "reconnected" | "recreated";

/**
 * The durable log as delivery sees it. Every method that asks rejects with {@link LogUnavailableError} while the log
 * cannot answer; asking again later is always right.
 */
export interface EventLog {
  /** The epoch as last heard; `state()` asks. */
  readonly epoch: string;
  /** Whether the connection to the log stands. */
  readonly connected: boolean;
  /** The stream's state from its leader. A changed epoch is also told to the listeners, before this resolves. */
  state(): Promise<LogState>;
  /** The newest record of a subject, from the leader; `undefined` if none is left. */
  head(subject: string): Promise<HeadRecord | undefined>;
  /** The record at a sequence, whatever its subject; `undefined` only if the leader does not have it. */
  at(seq: number): Promise<StoredRecord | undefined>;
  /**
   * History of a subject. It may come from a replica that lags, and never says that history is missing: it starts at
   * the first record that is left. The caller verifies both.
   */
  read(request: PageRequest): Promise<LogPage>;
  /**
   * The newest record of each subject up to `upToSeq`; subjects without one are absent. At most 1,000 subjects. It may
   * come from a replica that lags: ask for the subject of the record at `upToSeq` too, and see that it is there.
   */
  heads(subjects: readonly string[], upToSeq: number): Promise<ReadonlyMap<string, RecordMark>>;
  /**
   * Hands on what is stored on `subject` from now on; `undefined` stands for one that could not be read. Resolves when the
   * server knows of it. At most once: holes are possible. `onRecord` must not throw.
   */
  live(subject: string, onRecord: (record: LiveRecord | undefined) => void): Promise<LiveFeed>;
  /** Listeners are called in order of registration; the returned function removes this one. */
  listen(listener: (event: LogEvent) => void): () => void;
  close(): Promise<void>;
}

/** The log cannot answer now: NATS is away, the stream has no leader, or an answer did not come in time. */
export class LogUnavailableError extends Error {
  readonly code = "unavailable";
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "LogUnavailableError";
  }
}
