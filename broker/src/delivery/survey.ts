import {
  type EventLog,
  type LogState,
  LogUnavailableError,
  type RecordMark,
  type StoredRecord,
} from "../log/event-log.ts";
import { positionOf } from "./channel-record.ts";
import type { LogEnd } from "./log-end.ts";
import type { Places } from "./places.ts";
import { ORIGIN, type Position } from "./position.ts";

/** Where a subject stands in the log. */
export interface Finding {
  readonly epoch: string;
  /** The oldest sequence that was left, when it was known that a subject has no record. */
  readonly firstSeq: number;
  /** The end of the log when it was looked at: its newest record, whichever subject's. */
  readonly last: Position;
  /** The subject's newest record, at `last` or before it; `undefined` if the log holds none. */
  readonly newest: RecordMark | undefined;
}

type Found = Omit<Finding, "newest"> & { readonly newest: ReadonlyMap<string, RecordMark> };

interface Asking {
  readonly settle: (finding: Finding) => void;
  readonly fail: (error: unknown) => void;
}

/** How many subjects are asked for at once: the server refuses more than 1,024, and answers with the whole messages. */
const BATCH = 500;

/**
 * Finds out where subjects stand, for all who ask at about the same time with one look at the log: channels that open,
 * that come back after an outage, that are audited. Who asks while a look is under way gets the next one.
 */
export class Survey {
  readonly #log: EventLog;
  readonly #places: Places;
  readonly #end: LogEnd;
  #asking = new Map<string, Asking[]>();
  #looking = false;

  constructor(log: EventLog, places: Places, end: LogEnd) {
    this.#log = log;
    this.#places = places;
    this.#end = end;
  }

  /** Looks at the end of the log alone. @throws LogUnavailableError while the log cannot say */
  async lookAtEnd(): Promise<LogState> {
    const { generation } = this.#places;
    const state = await this.#log.state();
    const record = state.lastSeq === 0 ? undefined : await this.#log.at(state.lastSeq);
    await this.#end.look(state, record);
    if (record !== undefined) this.#places.saw(state.epoch, generation, record);
    return state;
  }

  /** @throws LogUnavailableError while the log cannot say */
  ask(subject: string): Promise<Finding> {
    return new Promise((settle, fail) => {
      this.#asking.set(subject, [...(this.#asking.get(subject) ?? []), { settle, fail }]);
      if (!this.#looking) void this.#look();
    });
  }

  async #look(): Promise<void> {
    this.#looking = true;
    // Those who ask in the same tick are counted in.
    await Promise.resolve();
    while (this.#asking.size > 0) {
      // No more than one answer can hold: who comes meanwhile does not wait for all that an audit asks.
      const asking = new Map([...this.#asking].slice(0, BATCH));
      for (const subject of asking.keys()) this.#asking.delete(subject);
      try {
        const { newest, ...found } = await this.#find([...asking.keys()]);
        for (const [subject, all] of asking) {
          const its = newest.get(subject);
          // Asked one by one, and stored since the end was looked at: what stood up to there nobody has said.
          const moved = its !== undefined && its.seq > found.last.seq;
          for (const { settle, fail } of all) {
            if (moved) fail(new LogUnavailableError("the log has moved on while it was asked"));
            else settle({ ...found, newest: its });
          }
        }
      } catch (error) {
        for (const { fail } of [...asking.values()].flat()) fail(error);
      }
    }
    this.#looking = false;
  }

  async #find(subjects: readonly string[]): Promise<Found> {
    const { generation } = this.#places;
    const state = await this.#log.state();
    const { epoch, firstSeq: before, lastSeq } = state;
    const record = lastSeq === 0 ? undefined : await this.#log.at(lastSeq);
    await this.#end.look(state, record);
    const newest = new Map<string, RecordMark>();
    if (record !== undefined) {
      for (const [subject, mark] of await this.#headsUpTo(record, subjects)) newest.set(subject, mark);
    } else if (lastSeq > 0) {
      // The newest record of all is gone. Without it no replica can prove how far it is: the leader is asked.
      const heads = await Promise.all(subjects.map((subject) => this.#log.head(subject)));
      for (const head of heads) if (head !== undefined) newest.set(head.subject, { seq: head.seq, check: head.check });
    }
    // Of a subject without a record one may have been trimmed since: what that would have taken is asked afterwards.
    const all = subjects.every((subject) => newest.has(subject));
    const firstSeq = all ? before : (await this.#log.state()).firstSeq;
    if (this.#log.epoch !== epoch) throw new LogUnavailableError("the stream was made anew");
    const gone = lastSeq === 0 ? ORIGIN : { seq: lastSeq, check: undefined, line: 0 };
    if (record !== undefined) this.#places.saw(epoch, generation, record);
    return { epoch, firstSeq, last: record === undefined ? gone : positionOf(record), newest };
  }

  async #headsUpTo(last: StoredRecord, subjects: readonly string[]): Promise<ReadonlyMap<string, RecordMark>> {
    const heads = await this.#log.heads([...new Set([last.subject, ...subjects])], last.seq);
    // A replica that lags reports heads that are too old; it cannot know the last record.
    if (heads.get(last.subject)?.seq !== last.seq) throw new LogUnavailableError("a replica of the log lags behind");
    return heads;
  }
}
