import type { ErrorCode, ErrorPayload } from "@kata/protocol/wire";
import type { Stored } from "./publish-port.ts";
import type { Refusal } from "./refusal.ts";
import { errorPayload } from "./wire-error.ts";

/** So many errors are told one by one: as many as there can be in one batch. */
const TOLD = 1_000;
const MAX_MESSAGE = 200;

/** What became of a stream of events [HTTP-8]. */
export interface Summary {
  /** Events that the log has, those included that it had before. */
  readonly published: number;
  /** Those that it had before, by their idempotency keys. */
  readonly duplicates: number;
  /** Events that were refused for good. */
  readonly failed: number;
  /** The eventIds of the first and the last that the log has. */
  readonly first?: string | undefined;
  readonly last?: string | undefined;
  /** Where the stream did not come to its end: what ended it, and the first event of which nothing is known. */
  readonly error?: ErrorPayload;
  readonly next?: number;
}

/** One error of a {@link Summary}. */
export type IndexedError = { readonly index: number } & Pick<ErrorPayload, "code" | "message" | "retryable">;

/** Counts what becomes of the events of a stream, in their order. */
export class Tally {
  #published = 0;
  #duplicates = 0;
  #failed = 0;
  #first: string | undefined;
  #last: string | undefined;
  #next = 0;
  readonly #errors: IndexedError[] = [];
  /** The code of all that failed; `undefined` if they have several. */
  #code: ErrorCode | undefined;

  stored(index: number, { eventId, duplicate }: Stored): void {
    this.#published++;
    if (duplicate) this.#duplicates++;
    this.#first ??= eventId;
    this.#last = eventId;
    this.#next = index + 1;
  }

  /** Returns the error as it is told. */
  refused(index: number, { code, message }: Refusal): ErrorPayload {
    const error = errorPayload(code, message.slice(0, MAX_MESSAGE));
    if (this.#failed++ === 0) this.#code = code;
    else if (this.#code !== code) this.#code = undefined;
    if (this.#errors.length < TOLD) this.#errors.push({ index, ...error });
    this.#next = index + 1;
    return error;
  }

  /** The summary, and its status: 201 if all are stored, 207 if some are, else that of the one reason. */
  close(ended: Refusal | undefined): {
    readonly outcome: 201 | 207 | ErrorCode;
    readonly summary: Summary;
    readonly errors: readonly IndexedError[];
  } {
    const counts = {
      published: this.#published,
      duplicates: this.#duplicates,
      failed: this.#failed,
      first: this.#first,
      last: this.#last,
    };
    const errors = this.#errors;
    if (ended !== undefined) {
      const error = errorPayload(ended.code, ended.message);
      return { outcome: ended.code, summary: { error, ...counts, next: this.#next }, errors };
    }
    if (this.#published === 0 && (this.#failed === 0 || this.#code !== undefined)) {
      const code = this.#code ?? "invalid_event";
      const error = errorPayload(code, errors[0]?.message ?? "the body has no event: send one a line");
      return { outcome: code, summary: { error, ...counts }, errors };
    }
    return { outcome: this.#failed === 0 ? 201 : 207, summary: counts, errors };
  }
}
