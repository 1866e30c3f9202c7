import { type GapReason, ORIGIN_CHECK, parseEventId } from "@kata/protocol/wire";
import { chainOf, type ModelLog, type ModelRecord } from "./model-log.ts";

/** What the broker may say to a resume. */
export type Outcome = "complete" | GapReason;

/** What may be said to a resume after `eventId` if the log is looked at now [RESUME-4]. */
export function outcomesOf(eventId: string, { life, lastSeq }: ModelLog): readonly Outcome[] {
  const id = parseEventId(eventId);
  if (id === undefined) return ["unknown"];
  if (id.epoch !== life.epoch) return ["reset"];
  const named = id.check !== ORIGIN_CHECK || id.n > 0;
  if (id.seq === 0) return named ? ["unknown"] : life.firstSeq > 1 ? ["expired"] : ["complete"];
  if (id.seq > lastSeq) return ["unknown"];
  const record = chainOf(life)[id.seq - 1] as ModelRecord;
  const beyond = id.n >= record.lines;
  if (id.seq >= life.firstSeq) return record.check !== id.check ? ["rewritten"] : beyond ? ["unknown"] : ["complete"];
  // [ID-3] While nothing behind such a place is trimmed, everything is there.
  if (!named) return life.firstSeq === id.seq + 1 ? ["complete"] : ["expired"];
  // Trimmed: memory may know it all the same, and what follows.
  if (record.check !== id.check) return ["expired", "rewritten"];
  return ["expired", beyond ? "unknown" : "complete"];
}
