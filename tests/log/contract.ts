import { expect } from "vitest";
import type { EventLog, StoredRecord } from "../../broker/src/log/event-log.ts";
import { describeConnection } from "./contract-connection.ts";
import { describeHistory } from "./contract-history.ts";
import { describeLive } from "./contract-live.ts";
import { describeState } from "./contract-state.ts";

/** A log to be tested, and the side of it that is not the port: what publishers, retention and the network do. */
export interface LogRig extends AsyncDisposable {
  readonly log: EventLog;
  /** Stores a record, with the publisher's message id if there is one; resolves with its sequence. */
  store(subject: string, data?: string | Uint8Array, id?: string): Promise<number>;
  /** Retention takes everything before `first`. */
  trim(first: number): Promise<void>;
  /** Takes one subject's records out of the middle: all, or those before `below`. */
  purge(subject: string, below?: number): Promise<void>;
  /** The stream is deleted and made anew. */
  recreate(): Promise<void>;
  /** Something that is no record comes over the live feed of a subject. */
  garble(subject: string): Promise<void>;
  /** A time (ms since 1970) after everything stored before, and not after anything that is stored then. */
  time(): Promise<number>;
  /** From now on nothing is answered, until the connection is cut. */
  silence(): void;
  /** The connection breaks, and cannot be made; resolves when the log has noticed. */
  cut(): Promise<void>;
  /** It can be made again; resolves when it is. */
  heal(): Promise<void>;
}

export interface ContractOptions {
  /** A size of which 80 records are more than the log's server puts into one answer. */
  readonly largeBytes: number;
}

export const SUBJECT = "kata.team.demo";
/** Subjects that begin like it, and one that does not. */
export const OTHERS = ["kata.team.demo.spec.x", "kata.team.demo2", "kata.team.dem", "kata.team.other"] as const;
export const NEVER = "kata.team.never";

/** All that the port's comments promise, for one implementation. */
export function describeEventLog(create: () => Promise<LogRig>, options: ContractOptions): void {
  describeState(create);
  describeHistory(create, options);
  describeLive(create);
  describeConnection(create);
}

/** Live records and acknowledgements take different ways: one may be there before the other. */
export function eventually(value: () => unknown) {
  return expect.poll(value, { timeout: 10_000, interval: 5 });
}

/** A record in a form that compares the same whatever kind of array holds the bytes. */
export function plain(record: StoredRecord | undefined) {
  if (record === undefined) return undefined;
  const { seq, subject, check, data } = record;
  return { seq, subject, check, data: Buffer.from(data).toString("latin1") };
}
