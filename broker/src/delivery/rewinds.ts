import type { EventLog } from "../log/event-log.ts";
import { Turns } from "../log/turns.ts";
import type { Channel } from "./channel.ts";
import { findLast, type RewindTarget } from "./rewind.ts";

/** Whether the one who asks does not wait any more. */
export type Gone = () => boolean;

/**
 * The searches for where the last events of a channel begin. Each takes many reads, so one runs at a time, for all who
 * want the same, and no longer than one of them waits.
 */
export class Rewinds {
  readonly #log: EventLog;
  readonly #turns = new Turns(1);
  readonly #askers = new Map<number, Set<Gone>>();

  constructor(log: EventLog) {
    this.#log = log;
  }

  /** @throws LogUnavailableError if the log cannot say, or nobody waits any more */
  async last(channel: Channel, count: number, gone: Gone): Promise<RewindTarget | "everything" | undefined> {
    const askers = this.#askers.get(count) ?? new Set();
    this.#askers.set(count, askers.add(gone));
    const nobody = () => channel.closed || [...askers].every((each) => each());
    try {
      return await channel.shared(`last ${count}`, () =>
        this.#turns.take(() => findLast(this.#log, channel, count, nobody)),
      );
    } finally {
      askers.delete(gone);
      if (askers.size === 0) this.#askers.delete(count);
    }
  }
}
