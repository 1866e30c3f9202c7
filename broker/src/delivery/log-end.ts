import type { EventLog, LogState, StoredRecord } from "../log/event-log.ts";

/** The end of the log as it was seen last. */
interface Seen {
  readonly epoch: string;
  readonly seq: number;
  readonly check: string;
}

/**
 * Notices that the log has lost its end while the connection stood, as it may when the stream is another server's than the
 * one that the broker is connected to: what was its end at one look must stand at the next.
 */
export class LogEnd {
  readonly #log: EventLog;
  readonly #onLost: () => void;
  #seen: Seen | undefined;

  /** @param onLost told once for each loss, before whoever looked goes on */
  constructor(log: EventLog, onLost: () => void) {
    this.#log = log;
    this.#onLost = onLost;
  }

  /** @param newest the record at the end that `state` tells of, if it stands there */
  async look({ epoch, lastSeq }: LogState, newest: StoredRecord | undefined): Promise<void> {
    const before = this.#seen;
    // A stream that was made anew is noticed by its epoch.
    const lost = before !== undefined && before.epoch === epoch && !(await this.#stands(before, lastSeq, newest));
    if (newest !== undefined) this.#seen = { epoch, seq: newest.seq, check: newest.check };
    else if (lost) this.#seen = undefined;
    if (lost) this.#onLost();
  }

  async #stands({ seq, check }: Seen, lastSeq: number, newest: StoredRecord | undefined): Promise<boolean> {
    if (lastSeq < seq) return false;
    const record = lastSeq === seq ? newest : await this.#log.at(seq);
    // Gone, it was trimmed or purged: sequences are handed out without a hole.
    return record === undefined || record.check === check;
  }
}
