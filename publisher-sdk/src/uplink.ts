import type { PublisherErrorCode } from "./errors.ts";
import type { OutgoingRecord } from "./record.ts";

/** Who is told of an uplink by itself. */
export interface UplinkListener {
  /** More may be on its way than when it was last asked. */
  ready(): void;
  /** The way to the log is closed under the publisher's feet. */
  closed(): void;
}

/**
 * A way into the log: over NATS, or over a broker's HTTP. Each brings the records that it is given there exactly once, whatever
 * happens in between: every attempt has the same id and the same bytes.
 */
export interface Uplink {
  /** Why nothing moves, as far as is known: part of an error's message. */
  readonly problem: string;
  /** Whether it has what it sends to, as far as is known. */
  readonly connected: boolean;
  /** Upper bound of a record now, bytes. */
  readonly maxRecordBytes: number;
  /** How many records should be on their way at a time. */
  readonly maxInFlight: number;
  /** The newest eventId that it knows the log has; `undefined` if none. */
  readonly newest: string | undefined;
  /** Takes the record over until it is settled. Calls of one channel come one at a time. */
  send(record: OutgoingRecord): void;
  /** Does what has come due: gives up, sends again, asks after answers that did not come. */
  sweep(): void;
  /** Rejects what is left and lets go of what it sends to; what it was given and does not own stays open. */
  close(code: PublisherErrorCode, why: string): Promise<void>;
}
