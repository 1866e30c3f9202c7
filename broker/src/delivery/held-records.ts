import type { LiveRecord } from "../log/event-log.ts";

/** What live records may weigh that all channels hold while they are busy with the log, bytes. */
export class HoldingBudget {
  readonly maxBytes: number;
  bytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }
}

/** What a held record weighs beyond its bytes, roughly. */
const RECORD_BYTES = 256;

/**
 * Live records that arrive while a channel is busy with the log. Those that the budget has no room for are let go: it is
 * remembered that they came, and the log has them.
 */
export class HeldRecords {
  readonly #budget: HoldingBudget;
  #records: LiveRecord[] = [];
  #bytes = 0;
  #letGo = 0;

  constructor(budget: HoldingBudget) {
    this.#budget = budget;
  }

  push(record: LiveRecord): void {
    const bytes = record.data.length + RECORD_BYTES;
    if (this.#budget.bytes + bytes > this.#budget.maxBytes) {
      this.#letGo = Math.max(this.#letGo, record.seq);
      return;
    }
    this.#budget.bytes += bytes;
    this.#bytes += bytes;
    // Its bytes are a piece of whatever came from the server at a time: kept, it would keep all of that.
    this.#records.push({ ...record, data: new Uint8Array(record.data) });
  }

  /** Lets go of all: the log may have lost what it said. */
  letGo(): void {
    const { records, letGo } = this.take();
    this.#letGo = records.reduce((greatest, { seq }) => Math.max(greatest, seq), letGo);
  }

  /** Hands them out in order with the greatest sequence that was let go (0: none), and holds none any more. */
  take(): { readonly records: readonly LiveRecord[]; readonly letGo: number } {
    const taken = { records: this.#records, letGo: this.#letGo };
    this.#budget.bytes -= this.#bytes;
    this.#records = [];
    this.#bytes = 0;
    this.#letGo = 0;
    return taken;
  }
}
