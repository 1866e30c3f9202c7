import { formatEventId, originOf } from "@kata/protocol/wire";

/** A place in the log after which a reader stands: everything of its channel up to there is behind it. */
export interface Position {
  readonly seq: number;
  /** The check of the record at `seq`, whatever its channel; `undefined` where none is known (the start, a trimmed place). */
  readonly check: string | undefined;
  /** Which line of that record the eventId names; readers always stand behind a record's last line. */
  readonly line: number;
}

/** The place before everything. */
export const ORIGIN: Position = { seq: 0, check: undefined, line: 0 };

/** The eventId that names a position. A place without a check is resumed from the beginning, which repeats but loses nothing. */
export function positionId(epoch: string, position: Position): string {
  if (position.check === undefined) return originOf(epoch);
  return formatEventId(epoch, position.seq, position.check, position.line);
}
