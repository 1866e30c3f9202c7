import type { ChannelRecord } from "./channel-record.ts";
import { weightOf } from "./ring.ts";

/** A piece of one channel's history without a hole: every record from `from` to its last one. */
export interface Page {
  readonly from: number;
  readonly records: readonly ChannelRecord[];
}

/** Whoever reads pages and remembers some. */
export interface PageOwner {
  /** There is no room for it any more. */
  forget(page: Page): void;
}

/** Bounds what the remembered pages of all channels hold together: the one that was used longest ago goes first. */
export class PageCache {
  readonly maxBytes: number;
  readonly #pages = new Map<Page, { readonly owner: PageOwner; readonly bytes: number }>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether there was room for it. */
  add(page: Page, owner: PageOwner): boolean {
    const bytes = page.records.reduce((sum, record) => sum + weightOf(record), 0);
    if (bytes > this.maxBytes) return false;
    this.#bytes += bytes;
    this.#pages.set(page, { owner, bytes });
    for (const [oldest, { owner: its }] of this.#pages) {
      if (this.#bytes <= this.maxBytes) break;
      this.delete(oldest);
      its.forget(oldest);
    }
    return true;
  }

  used(page: Page): void {
    const entry = this.#pages.get(page);
    if (entry === undefined) return;
    this.#pages.delete(page);
    this.#pages.set(page, entry);
  }

  delete(page: Page): void {
    this.#bytes -= this.#pages.get(page)?.bytes ?? 0;
    this.#pages.delete(page);
  }
}
