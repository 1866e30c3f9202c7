import { formatEventId, ORIGIN_CHECK } from "@kata/protocol/wire";

/** A place in the log after which a reader stands: everything of its channel up to there is behind it. */
export interface Position {
  readonly seq: number;
  /**
   * The check of the record at `seq`, whatever its channel; `undefined` where none stands: at the start, and where the record
   * was trimmed and nothing after it [ID-3].
   */
  readonly check: string | undefined;
  /** Which line of that record the eventId names; readers always stand behind a record's last line. */
  readonly line: number;
}

/** The place before everything. */
export const ORIGIN: Position = { seq: 0, check: undefined, line: 0 };

/** The eventId that names a position. */
export function positionId(epoch: string, { seq, check, line }: Position): string {
  return check === undefined ? formatEventId(epoch, seq, ORIGIN_CHECK) : formatEventId(epoch, seq, check, line);
}
