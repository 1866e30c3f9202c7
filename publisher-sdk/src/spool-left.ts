import type { RecordIdentity } from "./record.ts";
import type { Database } from "./spool-database.ts";
import { damaged } from "./spool-error.ts";

/** Whose events a spool holds: it is opened again by the same only. */
export interface SpoolOwner {
  readonly teamId: string;
  readonly stream: string;
  /** Which way its records go: over the other one they would get other ids, and one that was sent would be stored once more. */
  readonly via: "nats" | "http";
}

/** What is known of a record beside its events. */
export interface SpooledHead extends RecordIdentity {
  readonly channel: string;
  /** When its first event came, ms since 1970: no attempt to store it is older. */
  readonly openedAt: number;
  /** The newest eventId of the log that was known then: it stands behind this one, if it is stored. */
  readonly after?: string;
}

/** A record as an earlier process left it. */
export interface SpooledRecord extends SpooledHead {
  /** Its events, encoded, in order. */
  readonly lines: readonly string[];
}

/** Where a record's lines are: a key for each commit that brought some. */
export interface StoredRecord {
  readonly head: SpooledHead;
  /** Records are numbered in the order of their first events. */
  readonly number: number;
  readonly segments: number;
  readonly bytes: number;
  readonly text: string;
}

/** The format that this version writes and reads. */
export const FORMAT = 1;
export const OWNER_KEY = "owner";
/** What should be there, written with every batch: LevelDB passes over a damaged piece of its log without a word. */
export const TOTALS_KEY = "totals";
const FIRST_KEY = "r";
const BEHIND_KEY = "s";

/** Sorts by record, then by segment. */
export function segmentKey(number: number, segment: number): string {
  return `${FIRST_KEY}${number.toString(16).padStart(12, "0")}.${segment.toString(16).padStart(8, "0")}`;
}

/** `numbers`: the sum of the segments' record numbers, so that one segment cannot stand in for another of its length. */
export interface Totals {
  segments: number;
  bytes: number;
  numbers: number;
}

export function emptyTotals(): Totals {
  return { segments: 0, bytes: 0, numbers: 0 };
}

export function encodeTotals({ segments, bytes, numbers }: Totals): string {
  return JSON.stringify({ segments, bytes, numbers });
}

/** A record's first segment begins with a line of its own. */
export function headLine({ messageId, publishId, key, compared, channel, openedAt, after }: SpooledHead): string {
  return JSON.stringify({ messageId, publishId, key, compared, channel, openedAt, after });
}

/**
 * All that is stored, in the order of the records' numbers.
 *
 * @throws SpoolError `damaged`
 */
export async function readLeft(database: Database, directory: string): Promise<StoredRecord[]> {
  const left: StoredRecord[] = [];
  const totals = emptyTotals();
  let open: { number: number; head: SpooledHead; texts: string[]; bytes: number } | undefined;
  const settle = (): void => {
    if (open === undefined) return;
    const { head, number, texts } = open;
    left.push({ head, number, segments: texts.length, bytes: open.bytes, text: texts.join("\n") });
  };
  for await (const [key, value] of database.iterator({ gte: FIRST_KEY, lt: BEHIND_KEY })) {
    const [, number = Number.NaN, segment] = key.split(/[r.]/).map((part) => Number.parseInt(part, 16));
    const length = Buffer.byteLength(value);
    if (segment === 0) {
      settle();
      const { head, text } = firstSegment(value, directory);
      open = { number, head, texts: [text], bytes: length };
    } else if (open !== undefined && open.number === number && open.texts.length === segment) {
      open.texts.push(value);
      open.bytes += length;
    } else {
      throw damaged(directory, `a part of the record before ${key} is missing`);
    }
    totals.segments++;
    totals.bytes += length;
    totals.numbers += number;
  }
  settle();
  const found = encodeTotals(totals);
  const expected = (await database.get(TOTALS_KEY)) ?? encodeTotals(emptyTotals());
  if (found !== expected) throw damaged(directory, `${found} is there, ${expected} should be`);
  return left;
}

function firstSegment(value: string, directory: string): { head: SpooledHead; text: string } {
  const end = value.indexOf("\n");
  try {
    return { head: JSON.parse(value.slice(0, end)) as SpooledHead, text: value.slice(end + 1) };
  } catch (error) {
    throw damaged(directory, "the beginning of a record cannot be read", error);
  }
}
