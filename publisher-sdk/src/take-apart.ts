import type { PublishResult, Refusal } from "./outcome.ts";
import { type EarlierAttempt, OutgoingRecord } from "./record.ts";

/** A part has at most so many bytes, or a single event: hardly any gateway takes less. It never changes, see below. */
const PART_BYTES = 16 * 1024;

/** What becomes of a record's events, by their places. */
export type Outcomes = (PublishResult | Refusal)[];

/** How a record is sent in parts, one behind the other. */
export interface Parts {
  /** What is known of attempts under the id of the whole. */
  readonly first: EarlierAttempt;
  readonly outcomes: Outcomes;
  /** Whether a part is in the log under the id of the whole: then the whole is not, and will not be. */
  rooted: boolean;
  /** The place of the first event that is in no part yet, and the lines from there on. */
  next: number;
  readonly lines: readonly string[];
}

/**
 * Takes a record apart that is too large for the way as it is, and has no key. Each of its events gets into the log at most once all the same,
 * whatever became of the whole, and though the next process takes it apart once more that finds it in a spool:
 *
 * - The first part has the id of the whole, so the log takes only one of the two; and so has the next one as long as none is known to be there.
 *   Nothing is sent under another id before that.
 * - Where it is cut follows from what it holds alone, and the other parts' ids from where they begin: they are the same each time.
 */
export function takeApart(record: OutgoingRecord, first: EarlierAttempt): Parts {
  const lines = Buffer.from(record.data).toString("utf8").split("\n");
  return { first, outcomes: [], rooted: false, next: 0, lines };
}

/** The next part of a record; `undefined` if there is none left. */
export function nextPart(record: OutgoingRecord, parts: Parts): OutgoingRecord | undefined {
  const { lines, outcomes, first, rooted } = parts;
  if (parts.next === lines.length) return undefined;
  const { messageId: root } = record.identity;
  const messageId = rooted ? `${root}-${parts.next}` : root;
  const earlier = rooted ? record.earlier : first;
  const part = new OutgoingRecord(record.channel, record.subject, { messageId }, record.openedAt, earlier);
  part.kept = record.kept;
  for (; parts.next < lines.length; parts.next++) {
    const line = lines[parts.next] as string;
    if (part.events > 0 && !part.takes(line, PART_BYTES)) break;
    const place = parts.next;
    part.add(line, record.deadline, record.timeoutMs, (outcome) => {
      outcomes[place] = outcome;
    });
  }
  part.seal();
  return part;
}
