import { type EventId, type GapReason, ORIGIN_CHECK, parseEventId, type Rewind } from "@kata/protocol/wire";
import { type EventLog, LogUnavailableError } from "../log/event-log.ts";
import type { Channel } from "./channel.ts";
import { type ChannelRecord, decodeRecord, endOf, positionOf } from "./channel-record.ts";
import { ORIGIN, type Position, positionId } from "./position.ts";
import { findSince, type RewindTarget } from "./rewind.ts";
import type { Gone } from "./rewinds.ts";

type Seconds = { seconds: number };

/** Where a subscriber wishes to start. */
export type StartWish = StartRequest | { readonly kind: "rewind"; readonly rewind: Rewind };

/** Where a subscription is asked to start. */
export type StartRequest =
  | { readonly kind: "now" }
  | { readonly kind: "after"; readonly eventId: string }
  | { readonly kind: "rewind"; readonly rewind: Exclude<Rewind, Seconds> }
  /** With the first event stored at or after this time (ms since 1970). */
  | { readonly kind: "since"; readonly timeMs: number }
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
  /** What follows `position`, as far as it is known by now: it may be gone from the log before it is asked for again. */
  readonly first?: readonly ChannelRecord[];
}

/**
 * A rewind by seconds counts from the moment when it was asked for, however long the log does not answer. It begins with a
 * whole second: those who come back at the same time ask for the same.
 */
export function askedAt(wish: StartWish, nowMs: number): StartRequest {
  if (wish.kind !== "rewind") return wish;
  const { rewind } = wish;
  if (rewind === "all" || "count" in rewind) return { kind: "rewind", rewind };
  return { kind: "since", timeMs: Math.floor(nowMs / 1_000 - rewind.seconds) * 1_000 };
}

/**
 * Finds where a subscription starts, asking the log only for what memory cannot tell. The channel must be settled.
 *
 * @param gone whether nobody waits for it any more
 */
export async function locate(log: EventLog, channel: Channel, request: StartRequest, gone: Gone): Promise<Start> {
  const start = await find(log, channel, request, gone);
  // The log may know more than the live feed has brought: joining now would let older events follow.
  await channel.reach(start.position.seq);
  return start;
}

function find(log: EventLog, channel: Channel, request: StartRequest, gone: Gone): Start | Promise<Start> {
  switch (request.kind) {
    case "now":
      return now(channel);
    case "after":
      return resume(log, channel, request.eventId);
    case "rewind":
      return rewind(log, channel, request.rewind, gone);
    case "since":
      return since(log, channel, request.timeMs);
    case "gap":
      return gap(log, channel, request.reason);
  }
}

/**
 * [SUBSCRIBE-2] A quiet channel has a position too: the place up to which it is known to be complete. Taken before
 * anything is awaited: what comes meanwhile lies after it.
 */
function now(channel: Channel): Start {
  return { recovery: "fresh", eventId: positionId(channel.epoch, channel.mark), position: channel.mark };
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
  if (id.seq === 0) return resumeOrigin(log, channel, id, eventId);
  // [ID-3] A place where nothing stood: memory may still know what was trimmed from there.
  const trimmed = id.check === ORIGIN_CHECK;
  const known = trimmed ? undefined : remembered(channel, id.seq);
  // After an outage longer than retention everybody comes back to a place that is gone: the log need not say so to each.
  if (known === undefined && id.seq < channel.trimmedBelow - 1) return gap(log, channel, "expired");
  const found = known ?? (await (trimmed ? lookAt(channel, id.seq) : lookUp(channel, id.seq)));
  if (found === undefined) return resumeNothing(log, channel, id, eventId);
  if (found.end.check !== id.check) return gap(log, channel, "rewritten");
  if (id.n > found.end.line) return gap(log, channel, "unknown");
  const position = found.end;
  // An anchor may be any record of the log [ID-4]; only in one of the channel's own can something be left to send.
  if (id.n === position.line || !found.own) return { recovery: "complete", eventId, position };
  const record = found.record ?? (await lookAt(channel, id.seq))?.record;
  // Memory knows that it was there; what is left of it to send is gone.
  if (record === undefined) return resumeNothing(log, channel, id, eventId);
  return { recovery: "complete", eventId, position, rest: { record, afterLine: id.n } };
}

/** [ID-3] From the place before everything. */
async function resumeOrigin(log: EventLog, channel: Channel, id: EventId, eventId: string): Promise<Start> {
  if (id.check !== ORIGIN_CHECK || id.n > 0) return gap(log, channel, "unknown");
  const start = await everything(log, channel);
  // Afterwards: while nothing is trimmed, what was found first is the first there ever was.
  const { firstSeq } = await log.state();
  if (firstSeq > 1) return gap(log, channel, "expired");
  return { ...start, recovery: "complete", eventId };
}

/** Nothing stands at the anchor. */
async function resumeNothing(log: EventLog, channel: Channel, id: EventId, eventId: string): Promise<Start> {
  const state = await log.state();
  if (state.epoch !== id.epoch) return gap(log, channel, "reset");
  if (id.seq > state.lastSeq) return gap(log, channel, "unknown");
  // [ID-3] Nothing stood there when the place was named either, and nothing behind it is gone.
  if (id.check === ORIGIN_CHECK && id.n === 0 && state.firstSeq === id.seq + 1) {
    return { recovery: "complete", eventId, position: { seq: id.seq, check: undefined, line: 0 } };
  }
  // Where the log lost its end, another one may have come to stand there only now.
  if (id.seq >= state.firstSeq && (await channel.look(id.seq)) !== undefined) return gap(log, channel, "rewritten");
  return gap(log, channel, "expired");
}

function rewind(log: EventLog, channel: Channel, wish: Exclude<Rewind, Seconds>, gone: Gone): Promise<Start> {
  if (wish === "all") return everything(log, channel);
  return rewound(log, channel, () => channel.rewinds.last(channel, wish.count, gone));
}

function since(log: EventLog, channel: Channel, timeMs: number): Promise<Start> {
  return rewound(log, channel, () => channel.shared(`since ${timeMs}`, () => findSince(log, channel, timeMs)));
}

async function rewound(
  log: EventLog,
  channel: Channel,
  find: () => Promise<RewindTarget | "everything" | undefined>,
): Promise<Start> {
  const present = now(channel);
  const found = await find();
  if (found === undefined) return present;
  if (found === "everything") return everything(log, channel);
  if (found.rest !== undefined) {
    const { record, afterLine } = found.rest;
    const position = endOf(record);
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
  const { mark, epoch } = channel;
  const first = await channel.pages.front(epoch);
  const [oldest] = first;
  if (oldest === undefined) return { recovery: "fresh", eventId: positionId(epoch, mark), position: mark };
  // What the log has and the live feed has not brought yet is history, too: it comes before `caught_up`.
  await channel.reach(oldest.seq);
  const position = await before(log, oldest.seq);
  return { recovery: "fresh", eventId: positionId(epoch, position), position, first };
}

/** The position right before a record, whichever channel's record stands there. */
async function before(log: EventLog, seq: number): Promise<Position> {
  if (seq <= 1) return ORIGIN;
  const previous = await log.at(seq - 1);
  return previous === undefined ? { seq: seq - 1, check: undefined, line: 0 } : positionOf(previous);
}

/** What stands at an anchor's sequence. */
interface Found {
  readonly end: Position;
  /** Whether it is this channel's record; `record` is there if it is at hand. */
  readonly own: boolean;
  readonly record?: ChannelRecord;
}

/** What memory knows of a sequence; a mass reconnect is answered from here, without the log. */
function remembered(channel: Channel, seq: number): Found | undefined {
  const { ring, end } = channel;
  const record = ring.at(seq);
  if (record !== undefined) return { end: endOf(record), own: true, record };
  if (end.seq === seq) return { end, own: true };
  const seen = channel.seen(seq);
  return seen && { end: seen.end, own: seen.subject === channel.subject };
}

/** What the log knows of it. Where something of the channel lies behind it, that is read in the same breath. */
async function lookUp(channel: Channel, seq: number): Promise<Found | undefined> {
  if (seq <= channel.head.seq) {
    const standing = await channel.pages.standing(channel.epoch, seq);
    if (standing === undefined) return undefined;
    if ("foreign" in standing) return { end: standing.foreign, own: false };
    return { end: endOf(standing.own), own: true, record: standing.own };
  }
  return lookAt(channel, seq);
}

async function lookAt(channel: Channel, seq: number): Promise<Found | undefined> {
  const stored = await channel.look(seq);
  if (stored === undefined) return undefined;
  const end = positionOf(stored);
  if (stored.subject !== channel.subject) return { end, own: false };
  return { end, own: true, record: decodeRecord(stored, channel.name, channel.epoch) };
}
