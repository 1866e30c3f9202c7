import type { GapReason } from "@kata/protocol/wire";
import { type EventLog, LogUnavailableError, type StoredRecord } from "../log/event-log.ts";
import type { ChannelRecord } from "./channel-record.ts";
import type { Position } from "./position.ts";
import { whyBroken } from "./verify.ts";

interface Page {
  readonly after: number;
  readonly records: readonly ChannelRecord[];
}

/** How many pages a channel remembers for readers that come behind. */
const REMEMBERED = 4;

/** History of one channel, read from the log page by page; readers that need the same page share the read. */
export class Pages {
  readonly #log: EventLog;
  readonly #subject: string;
  readonly #limits: { readonly records: number; readonly bytes: number };
  readonly #decode: (record: StoredRecord) => ChannelRecord;
  readonly #reading = new Map<string, Promise<readonly ChannelRecord[] | GapReason>>();
  #recent: Page[] = [];
  #generation = 0;

  constructor(
    log: EventLog,
    subject: string,
    limits: { readonly records: number; readonly bytes: number },
    decode: (record: StoredRecord) => ChannelRecord,
  ) {
    this.#log = log;
    this.#subject = subject;
    this.#limits = limits;
    this.#decode = decode;
  }

  /**
   * The records right after `position`, at least one, without a hole; or why the log can no longer give them. The
   * caller knows that there was a record after `position`.
   */
  async read(epoch: string, position: Position): Promise<readonly ChannelRecord[] | GapReason> {
    for (const page of this.#recent) {
      const last = page.records.at(-1);
      if (last !== undefined && page.after <= position.seq && position.seq < last.seq) {
        return page.records.filter((record) => record.seq > position.seq);
      }
    }
    const key = `${epoch}-${position.seq}-${position.check}`;
    let reading = this.#reading.get(key);
    if (reading === undefined) {
      reading = this.#read(epoch, position).finally(() => this.#reading.delete(key));
      this.#reading.set(key, reading);
    }
    return reading;
  }

  /** Forgets what was read: the log is not the one it was, or nobody needs history now. */
  clear(): void {
    this.#recent = [];
    this.#generation++;
  }

  async #read(epoch: string, position: Position): Promise<readonly ChannelRecord[] | GapReason> {
    const generation = this.#generation;
    const { records } = await this.#log.read({
      subject: this.#subject,
      from: { seq: position.seq + 1 },
      ...this.#limits,
    });
    const broken = await whyBroken(this.#log, epoch, position);
    if (broken !== undefined) return broken;
    if (records.length === 0) {
      const newest = await this.#log.head(this.#subject);
      if (newest === undefined || newest.seq <= position.seq) return "expired";
      throw new LogUnavailableError("a replica of the log lags behind");
    }
    const decoded = records.map(this.#decode);
    if (generation === this.#generation) {
      this.#recent = [...this.#recent.slice(1 - REMEMBERED), { after: position.seq, records: decoded }];
    }
    return decoded;
  }
}
