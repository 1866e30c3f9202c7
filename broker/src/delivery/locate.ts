import { type GapReason, parseEventId, type Rewind } from "@kata/protocol/wire";
import { type EventLog, LogUnavailableError } from "../log/event-log.ts";
import type { Channel } from "./channel.ts";
import { type ChannelRecord, decodeRecord, positionOf } from "./channel-record.ts";
import { ORIGIN, type Position, positionId } from "./position.ts";
import { findRewind } from "./rewind.ts";

/** Where a subscription is asked to start. */
export type StartRequest =
  | { readonly kind: "now" }
  | { readonly kind: "after"; readonly eventId: string }
  | { readonly kind: "rewind"; readonly rewind: Rewind }
  /** Everything that exists, because the place it stood at is gone. */
  | { readonly kind: "gap"; readonly reason: GapReason };

/** Where it starts. */
export interface Start {
  readonly recovery: "fresh" | "complete" | "gap";
  readonly reason?: GapReason;
  /** What `subscribed` names as its position. */
  readonly eventId: string;
  readonly position: Position;
  /** The record in whose middle the start lies: its lines after `afterLine` come first; `position` is its end. */
  readonly rest?: { readonly record: ChannelRecord; readonly afterLine: number };
}

/** Finds where a subscription starts, asking the log only for what memory cannot tell. The channel must be settled. */
export async function locate(
  log: EventLog,
  channel: Channel,
  request: StartRequest,
  stopped: () => boolean,
): Promise<Start> {
  switch (request.kind) {
    case "now":
      return now(channel);
    case "after":
      return resume(log, channel, request.eventId);
    case "rewind":
      return rewind(log, channel, request.rewind, stopped);
    case "gap":
      return gap(log, channel, request.reason);
  }
}

/**
 * [SUBSCRIBE-2] A quiet channel has a position too: the place up to which it is known to be complete. Taken before
 * anything is awaited: what comes meanwhile lies after it.
 */
function now(channel: Channel): Start {
  const named = channel.mark.check === undefined ? channel.head : channel.mark;
  return { recovery: "fresh", eventId: positionId(channel.epoch, named), position: channel.mark };
}

async function resume(log: EventLog, channel: Channel, eventId: string): Promise<Start> {
  const id = parseEventId(eventId);
  if (id === undefined) return gap(log, channel, "unknown");
  if (id.epoch !== channel.epoch) {
    // The channel may be behind: an id of the stream's new life can arrive before the channel has heard of it.
    if ((await log.state()).epoch !== id.epoch) return gap(log, channel, "reset");
    await channel.repair();
    throw new LogUnavailableError("the stream was made anew");
  }
  if (id.seq === 0) {
    if (id.check !== "0000" || id.n > 0) return gap(log, channel, "unknown");
    const { firstSeq } = await log.state();
    if (firstSeq > 1) return gap(log, channel, "expired");
    const start = await everything(log, channel);
    return { ...start, recovery: "complete", eventId };
  }
  const here = remembered(channel, id.seq);
  if (here !== undefined) {
    if (here.check !== id.check) return gap(log, channel, "rewritten");
    if (id.n > here.lastLine) return gap(log, channel, "unknown");
    const position = { seq: id.seq, check: id.check, line: here.lastLine };
    if (id.n === here.lastLine) return { recovery: "complete", eventId, position };
    // Without the record at hand the log is asked whose it is, and for the rest of it.
    if (here.record !== undefined) {
      return { recovery: "complete", eventId, position, rest: { record: here.record, afterLine: id.n } };
    }
  }
  const stored = await channel.shared(`at ${id.seq}`, () => log.at(id.seq));
  if (stored === undefined || stored.check !== id.check) {
    const state = await log.state();
    if (state.epoch !== id.epoch) return gap(log, channel, "reset");
    if (stored !== undefined) return gap(log, channel, "rewritten");
    return gap(log, channel, id.seq > state.lastSeq ? "unknown" : "expired");
  }
  const position = positionOf(stored);
  if (id.n > position.line) return gap(log, channel, "unknown");
  // The log may know more than the live feed has brought: joining now would let older events follow.
  await channel.reach(position);
  // An anchor may be any record of the log [ID-4]; only in one of the channel's own can something be left to send.
  if (id.n === position.line || stored.subject !== channel.subject) return { recovery: "complete", eventId, position };
  const record = decodeRecord(stored, channel.name, channel.epoch);
  return { recovery: "complete", eventId, position, rest: { record, afterLine: id.n } };
}

async function rewind(log: EventLog, channel: Channel, wish: Rewind, stopped: () => boolean): Promise<Start> {
  if (wish === "all") return everything(log, channel);
  const present = now(channel);
  const found = await findRewind(log, channel, wish, stopped);
  if (found === undefined) return present;
  if (found === "everything") return everything(log, channel);
  if (found.rest !== undefined) {
    const { record, afterLine } = found.rest;
    const position = { seq: record.seq, check: record.check, line: record.lastLine };
    const named = afterLine >= 0 ? { ...position, line: afterLine } : await before(log, record.seq);
    return { recovery: "fresh", eventId: positionId(channel.epoch, named), position, rest: found.rest };
  }
  const position = await before(log, found.firstSeq);
  return { recovery: "fresh", eventId: positionId(channel.epoch, position), position };
}

/** [RESUME-3] Said, never guessed away; then everything that is left. */
async function gap(log: EventLog, channel: Channel, reason: GapReason): Promise<Start> {
  return { ...(await everything(log, channel)), recovery: "gap", reason };
}

/** Many ask at once after a stream was made anew: they share the answer. */
function everything(log: EventLog, channel: Channel): Promise<Start> {
  return channel.shared("everything", () => findFirst(log, channel));
}

async function findFirst(log: EventLog, channel: Channel): Promise<Start> {
  // Before the log is asked: what comes meanwhile lies after it.
  const { mark } = channel;
  const { records } = await log.read({ subject: channel.subject, from: { seq: 1 }, records: 1, bytes: 1 });
  const first = records[0];
  if (first === undefined && (await log.head(channel.subject)) !== undefined) {
    throw new LogUnavailableError("a replica of the log lags behind");
  }
  // What the log has and the live feed has not brought yet is history, too: it comes before `caught_up`.
  if (first !== undefined) await channel.reach({ seq: first.seq, check: first.check, line: 0 });
  const position = first === undefined ? mark : await before(log, first.seq);
  return { recovery: "fresh", eventId: positionId(channel.epoch, position), position };
}

/** The position right before a record, whichever channel's record stands there. */
async function before(log: EventLog, seq: number): Promise<Position> {
  if (seq <= 1) return ORIGIN;
  const previous = await log.at(seq - 1);
  return previous === undefined ? { seq: seq - 1, check: undefined, line: 0 } : positionOf(previous);
}

interface Remembered {
  readonly check: string | undefined;
  readonly lastLine: number;
  readonly record?: ChannelRecord;
}

/** What memory knows of a sequence; a mass reconnect is answered from here, without the log. */
function remembered(channel: Channel, seq: number): Remembered | undefined {
  const record = channel.ring.at(seq);
  if (record !== undefined) return { check: record.check, lastLine: record.lastLine, record };
  for (const known of [channel.head, channel.mark]) {
    if (known.seq === seq && known.check !== undefined) return { check: known.check, lastLine: known.line };
  }
  return undefined;
}
