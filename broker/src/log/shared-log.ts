import type { EventLog } from "./event-log.ts";
import { Fresh, FreshAnswers } from "./fresh.ts";
import { Turns } from "./turns.ts";

/** A log that many ask at once. */
export interface SharedLog extends EventLog {
  /** Answers that carry records and are on their way, and questions that wait for one of them to end. */
  readonly reads: { readonly inFlight: number; readonly waiting: number };
}

/**
 * Bounds what the log is asked: who asks for the state, or for the record at one place, at the same time as others shares
 * the answer with them, and only so many answers that carry records are on their way at a time.
 */
export function createSharedLog(log: EventLog, options: { readonly readsInFlight: number }): SharedLog {
  const turns = new Turns(options.readsInFlight);
  const state = new Fresh(() => log.state());
  const places = new FreshAnswers<number>();
  return {
    get epoch() {
      return log.epoch;
    },
    get connected() {
      return log.connected;
    },
    reads: turns,
    state: () => state.ask(),
    at: (seq) => places.ask(seq, () => turns.take(() => log.at(seq))),
    head: (subject) => turns.take(() => log.head(subject)),
    read: (request) => turns.take(() => log.read(request)),
    heads: (subjects, upToSeq) => turns.take(() => log.heads(subjects, upToSeq)),
    live: (subject, onRecord) => log.live(subject, onRecord),
    listen: (listener) => log.listen(listener),
    close: () => log.close(),
  };
}
