import type { OutgoingRecord } from "./record.ts";

/** A record that the log has not acknowledged yet, and how far it is. All times are ms since 1970. */
export interface Flight {
  readonly record: OutgoingRecord;
  /** `ready`: to be sent at `dueAt`. `sent`: to be acknowledged by `dueAt`. `checking`: the log is asked whether it has it. */
  state: "ready" | "sent" | "checking";
  dueAt: number;
  /** The last token of the inbox subject on which its acknowledgement comes. */
  token: string;
  /** How many times it failed in a row, and how it failed last. */
  failures: number;
  problem: string | undefined;
  /**
   * Since when a copy of it can be in the log: the first time it was sent, or the last time that the log was found not to have it;
   * `undefined` if it was not sent yet.
   */
  maybeSince: number | undefined;
  /** If it is in the log, then behind this sequence. */
  floorSeq: number;
  /** Goes up with each change of state, so that an answer to what was asked before is recognised as such. */
  version: number;
}

export function createFlight(record: OutgoingRecord): Flight {
  return {
    record,
    state: "ready",
    dueAt: 0,
    token: "",
    failures: 0,
    problem: undefined,
    maybeSince: undefined,
    floorSeq: 0,
    version: 0,
  };
}

/**
 * Whether sending the record once more could store it twice: JetStream recognises a message id only within the
 * stream's duplicate window. A quarter of it is left as a margin for the way there.
 */
export function mayBeForgotten(flight: Flight, duplicateWindowMs: number, now: number): boolean {
  return flight.maybeSince !== undefined && now - flight.maybeSince >= duplicateWindowMs * 0.75;
}
