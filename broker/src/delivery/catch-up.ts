import type { GapReason } from "@kata/protocol/wire";
import type { EventLog, StoredRecord } from "../log/event-log.ts";
import { type ChannelRecord, endOf, positionOf } from "./channel-record.ts";
import type { Pages } from "./pages.ts";
import type { Position } from "./position.ts";
import type { Survey } from "./survey.ts";
import { placeAt, type Tail } from "./tail.ts";
import { whyBroken } from "./verify.ts";

/** What a channel is to the one that brings it up to the log's end. */
export interface CatchingUp {
  readonly subject: string;
  readonly log: EventLog;
  readonly survey: Survey;
  readonly pages: Pages;
  readonly tail: Tail;
  readonly closed: boolean;
  /** Looks at the record at a sequence, whichever channel's. */
  look(seq: number): Promise<StoredRecord | undefined>;
  /** The record follows the head. */
  apply(record: ChannelRecord): void;
  /** The log has lost what lies behind `end`, and nothing of the channel with it. */
  endLost(end: Position): void;
}

/**
 * Reads everything up to the log's newest record of the subject; or says why the log is not the one it was.
 *
 * @throws LogUnavailableError while the log cannot say
 */
export async function catchUp(channel: CatchingUp): Promise<GapReason | undefined> {
  const { tail, survey, pages, subject } = channel;
  const finding = await survey.ask(subject);
  if (channel.closed) return undefined;
  if (finding.epoch !== tail.epoch) return "reset";
  const difference = tail.compare(finding);
  if (difference === "rewritten") return "rewritten";
  if (difference !== "same" || !tail.provesWhole(finding)) {
    const whole = await wholeFrom(channel);
    if (typeof whole === "string") return whole;
    const goal = finding.newest?.seq ?? 0;
    // If a record at or before the mark is news, the mark was wrong: better twice than never.
    for (let from = goal > whole.seq ? whole : placeAt(tail.head); tail.head.seq < goal; ) {
      const page = await pages.readNow(tail.epoch, from);
      if (channel.closed) return undefined;
      if (typeof page === "string") return page;
      for (const record of page) if (record.seq > tail.head.seq) channel.apply(record);
      from = endOf(page.at(-1) as ChannelRecord);
    }
  }
  const { mark } = tail;
  tail.caughtUp(finding, difference);
  if (tail.mark.seq < mark.seq) channel.endLost(tail.mark);
  return undefined;
}

/** A place that the channel is complete up to and that still stands, so that the log is whole behind it. */
async function wholeFrom(channel: CatchingUp): Promise<Position | GapReason> {
  const { mark, head, epoch } = channel.tail;
  const broken = await whyBroken(channel.log, epoch, mark);
  if (broken === undefined) return mark;
  if (head.seq === 0 || head.seq === mark.seq) return broken;
  const brokenAtHead = await whyBroken(channel.log, epoch, placeAt(head));
  if (brokenAtHead !== undefined) return brokenAtHead;
  const record = await channel.look(head.seq);
  if (record === undefined) return "expired";
  // Before anything is sent from there: what comes now lies behind the head, though it may stand before the lost mark.
  const end = positionOf(record);
  channel.endLost(end);
  return end;
}
