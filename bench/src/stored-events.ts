import { encodeEvent } from "@kata/protocol/wire";
import { numberedEvent } from "../../tests/support/numbered-event.ts";
import type { LogRecord } from "../../tests/support/stream.ts";
import { LINE_BYTES } from "./feed.ts";

const TIMESTAMP_AT = '{"type":"log_entry","timestamp":"'.length;
const TIMESTAMP_LENGTH = "2026-11-25T00:00:00.000Z".length;

/**
 * Reads what was published out of the log's records: of the events [0, events), dealt out to the subjects in turn, each must be there
 * once, in its subject, in order, byte for byte but for its time.
 *
 * @throws Error naming the first one that is not
 */
export function verifyStored(records: readonly LogRecord[], subjects: readonly string[], events: number): void {
  const next = new Map(subjects.map((subject, index) => [subject, index]));
  for (const { subject, seq, lines } of records) {
    let number = next.get(subject);
    if (number === undefined) throw new Error(`record ${seq} is on ${subject}, where nobody published`);
    for (const line of lines) {
      if (line !== expectedLine(number, line.slice(TIMESTAMP_AT, TIMESTAMP_AT + TIMESTAMP_LENGTH))) {
        throw new Error(`record ${seq} of ${subject} holds ${line} where event ${number} was due`);
      }
      number += subjects.length;
    }
    next.set(subject, number);
  }
  for (const [subject, number] of next) {
    if (number < events) throw new Error(`${subject} ends before event ${number} of ${events}, which was acknowledged`);
    if (number >= events + subjects.length) throw new Error(`${subject} holds events that were not published`);
  }
}

function expectedLine(number: number, timestamp: string): string | undefined {
  if (Number.isNaN(Date.parse(timestamp))) return undefined;
  const { type, payload } = numberedEvent(number, LINE_BYTES);
  return encodeEvent(type, timestamp, payload);
}
