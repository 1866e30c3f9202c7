import {
  type HeadRecord,
  type LogPage,
  type LogState,
  LogUnavailableError,
  type PageRequest,
  type RecordMark,
  type StoredRecord,
} from "../log/event-log.ts";
import { MemoryLog } from "./memory-log.ts";
import { MemoryStream } from "./memory-stream.ts";

/** A stream whose pages and heads come from a replica that has not got the newest records yet. */
export class ModelStream extends MemoryStream {
  /** How many records it is behind. */
  lag = 0;

  override read(request: PageRequest): LogPage {
    const page = super.read(request);
    const end = this.#end;
    const unknown = super.read({ ...request, from: { seq: end + 1 }, records: 1, bytes: 1 });
    const records = page.records.filter(({ seq }) => seq <= end);
    const missing = unknown.records.length + unknown.pending;
    return { records, pending: Math.max(0, page.records.length + page.pending - missing - records.length) };
  }

  override heads(subjects: readonly string[], upToSeq: number): ReadonlyMap<string, RecordMark> {
    return upToSeq > this.#end ? new Map() : super.heads(subjects, upToSeq);
  }

  get #end(): number {
    return this.state().lastSeq - this.lag;
  }
}

/** A connection on which single answers may not come in time. */
export class ModelConnection extends MemoryLog {
  readonly #waiting = new Set<(error: LogUnavailableError) => void>();

  /** Whoever waits for this answer gives up; it is for nobody when it comes. */
  timeOut(pick: number): void {
    const all = [...this.#waiting];
    all[pick % (all.length || 1)]?.(new LogUnavailableError("no answer came in time"));
  }

  override state(): Promise<LogState> {
    return this.#inTime(super.state());
  }

  override head(subject: string): Promise<HeadRecord | undefined> {
    return this.#inTime(super.head(subject));
  }

  override at(seq: number): Promise<StoredRecord | undefined> {
    return this.#inTime(super.at(seq));
  }

  override read(request: PageRequest): Promise<LogPage> {
    return this.#inTime(super.read(request));
  }

  override heads(subjects: readonly string[], upToSeq: number): Promise<ReadonlyMap<string, RecordMark>> {
    return this.#inTime(super.heads(subjects, upToSeq));
  }

  #inTime<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const giveUp = (error: LogUnavailableError) => {
        this.#waiting.delete(giveUp);
        reject(error);
      };
      this.#waiting.add(giveUp);
      answer.then(resolve, reject).finally(() => this.#waiting.delete(giveUp));
    });
  }
}
