import type { StoredRecord } from "../log/event-log.ts";
import { positionOf } from "./channel-record.ts";
import type { Position } from "./position.ts";

/** So many are remembered: a day of audits, or what a mass reconnect after a restart brings. */
const REMEMBERED = 16_384;

/** A place of the log that was seen, and whose record stands there. */
export interface SeenPlace {
  readonly epoch: string;
  readonly subject: string;
  readonly end: Position;
}

/**
 * Places of the log that were looked at lately, whichever channel's record stands there. Clients come back to few of
 * them: what a pong named was audited once for all channels.
 */
export class Places {
  readonly #places = new Map<number, SeenPlace>();
  #generation = 0;

  /** To be taken before the log is asked, and given with its answer: one that was asked for before a clear() counts no more. */
  get generation(): number {
    return this.#generation;
  }

  get(epoch: string, seq: number): SeenPlace | undefined {
    const place = this.#places.get(seq);
    return place?.epoch === epoch ? place : undefined;
  }

  /** @param epoch the log's when it was asked for the record */
  saw(epoch: string, generation: number, record: StoredRecord): void {
    if (generation !== this.#generation) return;
    this.#places.delete(record.seq);
    this.#places.set(record.seq, { epoch, subject: record.subject, end: positionOf(record) });
    if (this.#places.size <= REMEMBERED) return;
    for (const oldest of this.#places.keys()) {
      this.#places.delete(oldest);
      return;
    }
  }

  /** The log may have lost its end, and handed its sequences out again. */
  clear(): void {
    this.#places.clear();
    this.#generation++;
  }
}
