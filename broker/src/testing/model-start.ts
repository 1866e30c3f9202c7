import { formatEventId, ORIGIN_CHECK, type Rewind } from "@kata/protocol/wire";
import type { StartWish } from "../delivery/locate.ts";
import { chainOf, type ModelEvent, type ModelLog, type Place } from "./model-log.ts";
import type { ModelStart } from "./model-steps.ts";

/** What a client may ask for. */
export type ClientStart = Exclude<StartWish, { kind: "gap" | "since" }>;

/** What a step's start means at this moment; `position` is where the client would go on. */
export function startOf(start: ModelStart, log: ModelLog, position: string | undefined): ClientStart {
  switch (start.from) {
    case "now":
      return { kind: "now" };
    case "all":
      return { kind: "rewind", rewind: "all" };
    case "where it was":
      return startAfter(position);
    case "count":
      return { kind: "rewind", rewind: { count: start.n } };
    case "seconds":
      return { kind: "rewind", rewind: { seconds: start.n + 1 } };
    case "event": {
      const record = log.records.at(-1 - (start.pick % (log.records.length || 1)));
      if (record === undefined) return { kind: "now" };
      const line = start.line % (record.lines + 1);
      return startAfter(formatEventId(record.life.epoch, record.seq, record.check, line));
    }
    case "place": {
      const seq = (log.life.firstSeq + start.pick) % (log.lastSeq + 2);
      return startAfter(
        formatEventId(log.life.epoch, start.pick % 3 === 0 ? log.life.firstSeq - 1 : seq, ORIGIN_CHECK),
      );
    }
    case "nonsense":
      return startAfter(start.id);
  }
}

export function startAfter(eventId: string | undefined): ClientStart {
  return eventId === undefined ? { kind: "now" } : { kind: "after", eventId };
}

/** When a start was asked for, and the newest record that the channel had then. */
export interface Since {
  readonly timeMs: number;
  readonly head: Place | undefined;
}

/** What a start without a position wishes for. */
export function wishOf(start: Exclude<ClientStart, { kind: "after" }>): Rewind {
  return start.kind === "now" ? { count: 0 } : start.rewind;
}

/**
 * Why a start that was announced just now is not the one that was wished for: of what stands, too little is after it, or
 * too much of what the channel had when it was asked. `{ count: 0 }` stands for now, "all" also for what follows a gap.
 */
export function startFault(
  log: ModelLog,
  subject: string,
  place: Place,
  wish: Rewind,
  since: Since,
): string | undefined {
  // In the meantime the end was lost that the start was taken from.
  if (!isInLog(log, place)) return undefined;
  const existing = log.existing(subject);
  const left = existing.filter((event) => isAfter(event, place));
  if (wish === "all") return left.length < existing.length ? "not everything that exists comes after it" : undefined;
  // Records that the channel had are known to it whole, whether they still stand or not.
  const had = since.head !== undefined && isInLog(log, since.head) ? since.head.seq : 0;
  const replayed = chainOf(log.life)
    .slice(0, had)
    .flatMap((record) => (record.subject === subject ? record.events : []))
    .filter((event) => isAfter(event, place));
  if ("count" in wish) {
    if (left.length < Math.min(wish.count, existing.length)) return `only ${left.length} events come after it`;
    return replayed.length > wish.count ? `${replayed.length} events come after it` : undefined;
  }
  const ms = wish.seconds * 1000;
  const recent = existing.filter(({ record }) => record.storedAtMs >= Date.now() - ms);
  if (recent.some((event) => !isAfter(event, place))) return "not everything recent comes after it";
  // Up to a second more: it begins with a whole one.
  return replayed.some(({ record }) => record.storedAtMs < Math.floor((since.timeMs - ms) / 1_000) * 1_000)
    ? "older events come after it"
    : undefined;
}

function isInLog({ life }: ModelLog, place: Place): boolean {
  return place.life === life && life.branches[place.branch]?.[place.seq - 1] === chainOf(life)[place.seq - 1];
}

function isAfter({ record, line }: ModelEvent, place: Place): boolean {
  return record.seq > place.seq || (record.seq === place.seq && line > place.line);
}
