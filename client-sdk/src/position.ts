import { type EventId, parseEventId } from "@kata/protocol/wire";

/**
 * Where a channel stands. Two places, because a `pong` may move the place to resume from beyond the last event, and an
 * event is judged a repeat by what was really handed over, never by that promise.
 */
export interface Position {
  /** The eventId to resume from; undefined before anything is known. */
  readonly resume: string | undefined;
  /** The same, read; undefined if it is no eventId that this version can read. */
  readonly resumeAt: EventId | undefined;
  /** The last event handed over, or where `subscribed` said that the subscription starts. */
  readonly handed: EventId | undefined;
}

export const NOWHERE: Position = { resume: undefined, resumeAt: undefined, handed: undefined };

/** Stands exactly at `eventId`, whatever was before: the application's own start, or what `subscribed` said. */
export function positionAt(eventId: string): Position {
  const at = parseEventId(eventId);
  return { resume: eventId, resumeAt: at, handed: at };
}

/** Whether `a` comes after `b` in the log; ids of different epochs have no order, which counts as after. */
export function isAfter(a: EventId, b: EventId): boolean {
  if (a.epoch !== b.epoch) return true;
  return a.seq > b.seq || (a.seq === b.seq && a.n > b.n);
}

/** The position once this event is handed over, or undefined if it was handed over before: [ORDER-1]. */
export function handOver(position: Position, eventId: string, at: EventId): Position | undefined {
  if (position.handed !== undefined && !isAfter(at, position.handed)) return undefined;
  return { resume: eventId, resumeAt: at, handed: at };
}

/** [PING-1] The position once a pong confirmed that nothing is missing up to `eventId`: never backwards, never to another epoch. */
export function confirm(position: Position, eventId: string): Position {
  const at = parseEventId(eventId);
  const from = position.resumeAt;
  if (at === undefined || from === undefined || at.epoch !== from.epoch || at.seq <= from.seq) return position;
  return { resume: eventId, resumeAt: at, handed: position.handed };
}
