import type { LiveRecord } from "../log/event-log.ts";

/** At most so many bytes are held; beyond, what came before is let go: it is found missing later, and read from the log. */
const HELD_BYTES = 8 * 1024 * 1024;

/** Live records that arrive while a channel is busy with the log. */
export class HeldRecords {
  #records: LiveRecord[] = [];
  #bytes = 0;

  push(record: LiveRecord): void {
    this.#bytes += record.data.length;
    if (this.#bytes > HELD_BYTES) {
      this.#records = [];
      this.#bytes = record.data.length;
    }
    this.#records.push(record);
  }

  /** Hands them out in order, and holds none any more. */
  take(): readonly LiveRecord[] {
    const records = this.#records;
    this.#records = [];
    this.#bytes = 0;
    return records;
  }
}
