import { setTimeout as delay } from "node:timers/promises";
import { backoffMs } from "./backoff.ts";
import { PublisherError, type Stored } from "./errors.ts";
import type { OutgoingRecord } from "./record.ts";
import { SpoolError } from "./spool-error.ts";
import type { SpooledHead, SpoolOwner } from "./spool-left.ts";
import { type OpenedSpool, openSpool, type SpoolStore } from "./spool-store.ts";

/** What a spool needs from its publisher. */
export interface SpoolPort {
  /** Ms since 1970. */
  now(): number;
  /** The newest eventId of the log that is known. */
  newest(): string | undefined;
  /** Whether nothing is sent any more. */
  closed(): boolean;
  /** Takes a record over until it is settled. */
  send(record: OutgoingRecord): void;
}

/**
 * Keeps what is accepted on disk until it is settled. Two promises make each event once of it, in order: a record is sent only when all of it
 * is on disk, so what an earlier process left is, record by record, what it may have sent; and it is sent only when the removal of
 * the one before it in its channel is on disk, so only the first of what is left in a channel can be in the log already.
 */
export class Spool {
  readonly #store: SpoolStore;
  readonly #port: SpoolPort;
  readonly #heads = new WeakMap<OutgoingRecord, SpooledHead>();
  readonly #closing = new AbortController();
  #scheduled = false;

  constructor(store: SpoolStore, port: SpoolPort) {
    this.#store = store;
    this.#port = port;
  }

  /** One more event of a record. */
  add(record: OutgoingRecord, line: string): void {
    let head = this.#heads.get(record);
    if (head === undefined) {
      const { identity, channel, openedAt } = record;
      const after = this.#port.newest();
      head = { ...identity, channel, openedAt, ...(after === undefined ? {} : { after }) };
      this.#heads.set(record, head);
      record.kept = true;
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
      throw failed(error, "unknown");
    });
  }

  /**
   * Sends a record once it is on disk. A disk that takes no more for a while does not cost what it holds already: that waits for its
   * turn until its time is up.
   */
  send(record: OutgoingRecord): void {
    this.#ready(record).then(
      () => {
        if (!this.#port.closed()) this.#port.send(record);
        else record.fail(keptInSpool());
      },
      (error: PublisherError) => record.fail(this.#port.closed() && this.#keeps(record) ? keptInSpool() : error),
    );
  }

  /** What becomes of records when no more can be sent, to be told to whoever waits for them: only what is on disk is kept. */
  async ending(): Promise<(record: OutgoingRecord) => PublisherError> {
    const kept = keptInSpool();
    try {
      await this.#store.commit();
      return () => kept;
    } catch (error) {
      return (record) => (this.#keeps(record) ? kept : this.#refusal(record, error));
    }
  }

  close(): Promise<void> {
    this.#closing.abort();
    return this.#store.close().catch((error: unknown) => {
      throw failed(error, "unknown");
    });
  }

  /** @throws PublisherError `spool_failed` */
  async #ready(record: OutgoingRecord): Promise<void> {
    for (let failures = 0; ; failures++) {
      try {
        return await this.#store.commit();
      } catch (error) {
        const held = this.#store.holds(record.identity) !== "none";
        const goesOn = !this.#port.closed() && this.#port.now() < record.deadline;
        if (!held || !goesOn) throw this.#refusal(record, error);
        await delay(backoffMs(failures), undefined, { signal: this.#closing.signal }).catch(() => undefined);
      }
    }
  }

  /** Whether the next publisher with this spool will send it. */
  #keeps(record: OutgoingRecord): boolean {
    return this.#store.holds(record.identity) === "all";
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

/** Why a publisher that was closed has not told what became of a record. */
export function keptInSpool(): PublisherError {
  const why =
    "the publisher was closed before the log had it: it is kept in the spool, and sent when that is opened again";
  return new PublisherError("spooled", why, { stored: "unknown" });
}

function isFull(error: unknown): boolean {
  return error instanceof SpoolError && error.code === "full";
}

function failed(error: unknown, stored: Stored = "no"): PublisherError {
  const why = error instanceof Error ? error.message : String(error);
  return new PublisherError("spool_failed", why, { cause: error, stored });
}
