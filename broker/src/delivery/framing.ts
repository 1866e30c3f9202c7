import { type ChannelRecord, forEachEvent, sliceAfter } from "./channel-record.ts";

/**
 * How what a channel says becomes frames. Live, a record is framed once for all readers that share a framing; delivery
 * knows nothing else of the protocols that it serves.
 */
export interface Framing {
  /** Unique; names the topics of the readers that share it. */
  readonly name: string;
  /** Calls `send` with the frames of the record's events whose line is after `afterLine`; with none if there are none. */
  record(record: ChannelRecord, afterLine: number, send: (frame: Buffer) => void): void;
  /** The frame of a control envelope. */
  control(envelope: Buffer, type: string, eventId: string | undefined): Buffer;
}

/** One envelope a frame: `kata.v1` [CONNECT-3]. */
export const SINGLE: Framing = {
  name: "single",
  record: forEachEvent,
  control: (envelope) => envelope,
};

/** A record's envelopes in one frame, a line each: `kata.v1.ndjson` [CONNECT-3]. */
export const LINES: Framing = {
  name: "lines",
  record(record, afterLine, send) {
    const frame = sliceAfter(record, afterLine);
    if (frame !== undefined) send(frame);
  },
  control: (envelope) => envelope,
};
