import { type EventLog, LogUnavailableError } from "../log/event-log.ts";
import type { Channel } from "./channel.ts";
import { type ChannelRecord, decodeRecord } from "./channel-record.ts";

/** Where a rewind leads: a record to start with, or the middle of one. */
export type RewindTarget =
  | { readonly firstSeq: number; readonly rest?: undefined }
  | { readonly rest: { readonly record: ChannelRecord; readonly afterLine: number } };

/**
 * [SUBSCRIBE-5] Finds the first event stored at or after a time (ms since 1970). `undefined`: there is none.
 *
 * @throws LogUnavailableError if a replica of the log answered that lags behind
 */
export async function findSince(log: EventLog, channel: Channel, timeMs: number): Promise<RewindTarget | undefined> {
  const { records } = await log.read({ subject: channel.subject, from: { timeMs }, records: 1, bytes: 1 });
  if (records[0] !== undefined) return { firstSeq: records[0].seq };
  const newest = await log.head(channel.subject);
  if (newest !== undefined && newest.storedAtMs >= timeMs) {
    throw new LogUnavailableError("a replica of the log lags behind");
  }
  return undefined;
}

/** [SUBSCRIBE-5] Finds where the last `count` events begin. `undefined`: there is none; `"everything"`: there are fewer. */
export async function findLast(
  log: EventLog,
  channel: Channel,
  count: number,
  nobodyWaits: () => boolean,
): Promise<RewindTarget | "everything" | undefined> {
  if (count === 0) return undefined;
  const recent = channel.ring.lastEvents(count);
  return recent === undefined ? findLastEvents(log, channel, count, nobodyWaits) : { rest: recent };
}

/** How many records the search for the last events looks at first. */
const FIRST_LOOK = 64;

/** What the search keeps of a record: enough to count its events, not their bytes. */
interface Counted {
  readonly seq: number;
  readonly lines: readonly number[];
}

async function findLastEvents(
  log: EventLog,
  channel: Channel,
  count: number,
  nobodyWaits: () => boolean,
): Promise<RewindTarget | "everything" | undefined> {
  const end = channel.head.seq;
  if (end === 0) return undefined;
  // Records hold one event or hundreds, or none that is valid: each round looks four times as far back.
  for (let wanted = Math.min(count, FIRST_LOOK); ; wanted *= 4) {
    const start = await recordsBack(log, channel.subject, wanted, end, nobodyWaits);
    const tail = await lastOf(log, channel, start.seq, end, count, nobodyWaits);
    if (tail.events >= count) {
      const first = tail.records[0] as Counted;
      const skip = tail.events - count;
      if (skip === 0) return { firstSeq: first.seq };
      const stored = await log.at(first.seq);
      if (stored === undefined)
        throw new LogUnavailableError("the start of the rewind was trimmed while it was looked for");
      const record = decodeRecord(stored, channel.name, channel.epoch);
      return { rest: { record, afterLine: (first.lines[skip] as number) - 1 } };
    }
    if (start.all) return "everything";
  }
}

/** The largest sequence from which on at least `wanted` records of the subject stand, by bisection over what is pending. */
async function recordsBack(
  log: EventLog,
  subject: string,
  wanted: number,
  end: number,
  nobodyWaits: () => boolean,
): Promise<{ seq: number; all: boolean }> {
  let low = 1;
  let high = end;
  let all = true;
  while (low < high) {
    if (nobodyWaits()) throw new LogUnavailableError("nobody waits for it any more");
    const middle = Math.ceil((low + high) / 2);
    const { records, pending } = await log.read({ subject, from: { seq: middle }, records: 1, bytes: 1 });
    if (records.length + pending >= wanted) {
      low = middle;
      all = false;
    } else {
      high = middle - 1;
    }
  }
  return { seq: low, all };
}

/** The fewest records at the end of the range that hold `count` events, or all of them. */
async function lastOf(
  log: EventLog,
  channel: Channel,
  from: number,
  end: number,
  count: number,
  nobodyWaits: () => boolean,
): Promise<{ records: Counted[]; events: number }> {
  const kept: Counted[] = [];
  let events = 0;
  let next = from;
  while (next <= end) {
    if (nobodyWaits()) throw new LogUnavailableError("nobody waits for it any more");
    const { records } = await log.read({
      subject: channel.subject,
      from: { seq: next },
      records: 256,
      bytes: 512 * 1024,
    });
    const last = records.at(-1);
    if (last === undefined) {
      // Trimmed since the channel saw it, or not yet on the replica that answered.
      const newest = await log.head(channel.subject);
      if (newest === undefined || newest.seq < next) break;
      throw new LogUnavailableError("a replica of the log lags behind");
    }
    for (const stored of records) {
      if (stored.seq > end) break;
      const { lines } = decodeRecord(stored, channel.name, channel.epoch);
      if (lines.length === 0) continue;
      kept.push({ seq: stored.seq, lines });
      events += lines.length;
      while (kept.length > 1 && events - (kept[0] as Counted).lines.length >= count) {
        events -= (kept.shift() as Counted).lines.length;
      }
    }
    next = last.seq + 1;
  }
  return { records: kept, events };
}
