import type { LiveFeed, LiveRecord } from "../log/event-log.ts";

interface Feed {
  open: boolean;
  readonly onRecord: (record: LiveRecord | undefined) => void;
}

/** What is under way to the feeds that were there when it was sent. */
interface Sent {
  readonly feeds: readonly Feed[];
  readonly record: LiveRecord | undefined;
}

/** The live feeds of one connection: in order, at most once, and when the test says so. */
export class MemoryFeeds {
  readonly #feeds = new Map<string, Set<Feed>>();
  #underWay: Sent[] = [];

  get underWay(): number {
    return this.#underWay.length;
  }

  open(subject: string, onRecord: Feed["onRecord"]): LiveFeed {
    const feeds = this.#feeds.get(subject) ?? new Set();
    this.#feeds.set(subject, feeds);
    const feed = { open: true, onRecord };
    feeds.add(feed);
    return {
      close() {
        feed.open = false;
        feeds.delete(feed);
      },
    };
  }

  /** What nobody listens to is not sent. */
  send(subject: string, record: LiveRecord | undefined): void {
    const feeds = [...(this.#feeds.get(subject) ?? [])];
    if (feeds.length > 0) this.#underWay.push({ feeds, record });
  }

  /** The next `count` arrive. */
  deliver(count = Number.POSITIVE_INFINITY): void {
    for (let i = 0; i < count; i++) {
      const next = this.#underWay.shift();
      if (next === undefined) return;
      for (const feed of next.feeds) if (feed.open) feed.onRecord(next.record);
    }
  }

  /** The next `count` are lost. */
  lose(count = Number.POSITIVE_INFINITY): void {
    this.#underWay = this.#underWay.slice(count);
  }
}
