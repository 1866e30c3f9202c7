import { setTimeout as delay } from "node:timers/promises";
import { backoffMs } from "./backoff.ts";
import { PublisherError, type Stored } from "./errors.ts";
import type { OutgoingRecord } from "./record.ts";
import { SpoolError } from "./spool-error.ts";
import type { SpooledHead, SpooledRecord, SpoolOwner } from "./spool-left.ts";
import { type OpenedSpool, openSpool, type SpoolStore } from "./spool-store.ts";

/**
 * Keeps what is accepted on disk until it is settled. Two promises make each event once of it, in order: a record is sent only when all of it
 * is on disk, so what an earlier process left is, record by record, what it may have sent; and it is sent only when the removal of
 * the one before it in its channel is on disk, so only the first of what is left in a channel can be in the log already.
 */
export class Spool {
  /** What an earlier process left, in the order in which it was accepted. */
  readonly left: readonly SpooledRecord[];
  readonly #store: SpoolStore;
  readonly #newest: () => string | undefined;
  readonly #heads = new WeakMap<OutgoingRecord, SpooledHead>();
  readonly #closing = new AbortController();
  #scheduled = false;

  constructor({ spool, left }: OpenedSpool, newest: () => string | undefined) {
    this.#store = spool;
    this.left = left;
    this.#newest = newest;
  }

  /** One more event of a record. */
  add(record: OutgoingRecord, line: string): void {
    let head = this.#heads.get(record);
    if (head === undefined) {
      const { identity, channel, openedAt } = record;
      const after = this.#newest();
      head = { ...identity, channel, openedAt, ...(after === undefined ? {} : { after }) };
      this.#heads.set(record, head);
    }
    this.#store.add(head, line);
    this.#soon();
  }

  /** The record is settled. */
  remove(record: OutgoingRecord): void {
    this.#store.remove(record.identity);
    this.#soon();
  }

  /**
   * Resolves when everything that was added and removed is on disk.
   *
   * @throws PublisherError `spool_failed`
   */
  commit(): Promise<void> {
    return this.#store.commit().catch((error: unknown) => {
      throw failed(error);
    });
  }

  /**
   * Resolves when the record may be sent. A disk that takes no more for a while does not cost what it holds already: that waits for
   * its turn until its time is up.
   *
   * @param goesOn asked before each further attempt
   * @throws PublisherError `spool_failed`
   */
  async ready(record: OutgoingRecord, goesOn: () => boolean): Promise<void> {
    for (let failures = 0; ; failures++) {
      try {
        return await this.#store.commit();
      } catch (error) {
        const held = this.#store.holds(record.identity) !== "none";
        if (!held || !goesOn()) throw this.#refusal(record, error);
        await delay(backoffMs(failures), undefined, { signal: this.#closing.signal }).catch(() => undefined);
      }
    }
  }

  /** Whether the next publisher with this spool will send it. */
  keeps(record: OutgoingRecord): boolean {
    return this.#store.holds(record.identity) === "all";
  }

  /**
   * What becomes of records when no more can be sent, to be told to whoever waits for them: only what is on disk is kept.
   *
   * @param kept what to say of those
   */
  async ending(kept: PublisherError): Promise<(record: OutgoingRecord) => PublisherError> {
    try {
      await this.#store.commit();
      return () => kept;
    } catch (error) {
      return (record) => (this.keeps(record) ? kept : this.#refusal(record, error));
    }
  }

  close(): Promise<void> {
    this.#closing.abort();
    return this.#store.close().catch((error: unknown) => {
      throw failed(error);
    });
  }

  /** What a full disk refused is not there; after another failure it may be all the same, and would be sent after a crash. */
  #refusal(record: OutgoingRecord, error: unknown): PublisherError {
    const held = this.#store.holds(record.identity) !== "none";
    return failed(error, held || !isFull(error) ? "unknown" : "no");
  }

  /** What waits for its turn gets to the disk meanwhile. If it cannot, whoever waits for a commit is told. */
  #soon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#store.commit().catch(() => undefined);
    });
  }
}

/**
 * Opens a publisher's spool.
 *
 * @throws PublisherError `spool_failed`
 */
export async function openSpoolAt(directory: string, owner: SpoolOwner): Promise<OpenedSpool> {
  return await openSpool(directory, owner).catch((error: unknown) => {
    throw failed(error);
  });
}

function isFull(error: unknown): boolean {
  return error instanceof SpoolError && error.code === "full";
}

function failed(error: unknown, stored: Stored = "no"): PublisherError {
  const why = error instanceof Error ? error.message : String(error);
  return new PublisherError("spool_failed", why, { cause: error, stored });
}
