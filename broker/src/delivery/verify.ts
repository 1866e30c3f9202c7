import type { GapReason } from "@kata/protocol/wire";
import type { EventLog } from "../log/event-log.ts";
import type { Position } from "./position.ts";

/**
 * Whether everything after `position` is still in the log: then `undefined`, else why not. Retention removes from the
 * front of the stream, so nothing after a record is gone while the record itself stands [RESUME-2].
 *
 * Asked after a page was read, it vouches for the page: a trim between the two would have taken the position first.
 *
 * @param epoch the epoch that `position` belongs to
 */
export async function whyBroken(log: EventLog, epoch: string, position: Position): Promise<GapReason | undefined> {
  const record = position.seq === 0 ? undefined : await log.at(position.seq);
  if (record !== undefined && record.check === position.check) return log.epoch === epoch ? undefined : "reset";
  const state = await log.state();
  if (state.epoch !== epoch) return "reset";
  // Also where nothing stood before: a sequence is handed out once, unless the log has lost its end.
  if (record !== undefined || state.lastSeq < position.seq) return "rewritten";
  // Taken out of the middle, by a purge: others after it may be, too.
  if (position.check !== undefined && state.firstSeq <= position.seq) return "expired";
  // The record is gone, yet it was the last to go: what follows it is whole.
  return state.firstSeq <= position.seq + 1 ? undefined : "expired";
}
