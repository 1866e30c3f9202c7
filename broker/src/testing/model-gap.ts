import type { GapReason } from "@kata/protocol/wire";
import { chainOf, type ModelLog, nameOf, type Place } from "./model-log.ts";

/**
 * Why a gap that was told on a running subscription has no reason [RESUME-6]; `undefined` if it has one.
 *
 * @param place where the reader stood
 * @param claimed the last place up to which a pong would have said that it has everything
 */
export function gapFault(
  log: ModelLog,
  subject: string,
  reason: GapReason,
  place: Place,
  claimed: Place | undefined,
): string | undefined {
  switch (reason) {
    case "reset":
      return place.life === log.life ? "the stream is the one it was" : undefined;
    case "expired":
      // Lost, and its sequence given away between two looks at the log.
      return isLost(place) ? undefined : notExpired(log, subject, place, claimed);
    case "rewritten":
    case "unknown":
      return isLost(place) || wasLedPastWhatIsLost(subject, place) ? undefined : `${nameOf(place)} is not lost`;
  }
}

/** Whether another branch took the place of the one it belongs to. */
export function isLost({ life, branch, seq, line }: Place): boolean {
  return Number.isFinite(line) && life.branches[branch]?.[seq - 1] !== chainOf(life)[seq - 1];
}

/** Whether nothing proves any more that everything behind it is there. */
function isTrimmed({ life, seq, line }: Place): boolean {
  return life.firstSeq > seq + 1 || (life.firstSeq === seq + 1 && seq > 0 && Number.isFinite(line));
}

/**
 * Nothing is told to be expired while the place stands where the reader is, or while the one stands up to which it was
 * known to have everything and no record behind it is gone. Where both are trimmed it may be told although nothing was due
 * in between: docs/configuration.md, KATA_AUDIT_INTERVAL_MS.
 */
function notExpired(log: ModelLog, subject: string, place: Place, claimed: Place | undefined): string | undefined {
  if (!isTrimmed(place)) return `${nameOf(place)} is not trimmed`;
  if (claimed === undefined || claimed.life !== log.life || isTrimmed(claimed) || isLost(claimed)) return undefined;
  if (place.life !== log.life) return undefined;
  const gone = chainOf(log.life).slice(place.seq, log.life.firstSeq - 1);
  if (gone.some((record) => record.subject === subject)) return undefined;
  return `nothing was trimmed that was not sent, and ${nameOf(claimed)} stands`;
}

/** Behind the place, records without events were lost: the reader had been led past them, and was sent nothing. */
function wasLedPastWhatIsLost(subject: string, { life, branch, seq }: Place): boolean {
  return life.branches.some((chain) => {
    if (chain[seq - 1] !== life.branches[branch]?.[seq - 1]) return false;
    const own = chain.slice(seq).filter((record) => record.subject === subject);
    const next = own.findIndex(({ events }) => events.length > 0);
    return own.slice(0, next < 0 ? own.length : next).some((record) => chainOf(life)[record.seq - 1] !== record);
  });
}
