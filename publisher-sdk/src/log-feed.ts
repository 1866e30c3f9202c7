import { type CaptureErrorListener, tell } from "./capture-error.ts";
import { PublisherError } from "./errors.ts";
import type { EventInput } from "./event.ts";
import type { PublishOutcome } from "./outcome.ts";
import type { LogPublisher, Publisher } from "./publisher.ts";
import { withoutCapture } from "./quiet.ts";

/** So much may be on its way before a source has to wait, bytes. */
const WINDOW_BYTES = 8 * 1024 * 1024;
/** What an event weighs beyond its text. */
const EVENT_BYTES = 512;
/** So many events are handed in at a time: together they are accepted or not. */
const BATCH = 250;
/** Entries are tried for as long as it takes. */
const FOR_EVER = { timeoutMs: Infinity };

/** `wait`: the source waits while the publisher's queue is full. `lose`: events are lost then, and reported: for a source that cannot wait. */
export type WhenFull = "wait" | "lose";

export interface LogFeedOptions {
  readonly publisher: LogPublisher | Promise<LogPublisher>;
  readonly channel: string;
  readonly onError: CaptureErrorListener;
  readonly whenFull: WhenFull;
}

/** What became of events. */
export interface CaptureResult {
  /** How many the log has. */
  readonly events: number;
  /** How many it is not known to have; each was reported to `onError`. */
  readonly lost: number;
}

/** Publishes log entries of a channel in order and takes what cannot be published upon itself: it never rejects. */
export class LogFeed {
  readonly #options: LogFeedOptions;
  #publisher: Publisher | undefined;
  #events = 0;
  #lost = 0;
  #pending = 0;
  #pendingBytes = 0;
  #waiting: (() => void)[] = [];

  constructor(options: LogFeedOptions) {
    this.#options = options;
  }

  get result(): CaptureResult {
    return { events: this.#events, lost: this.#lost };
  }

  /**
   * Events that come in one piece of so many bytes. Resolves when more may come; one call at a time where it is waited for.
   */
  async send(events: readonly EventInput[], bytes: number): Promise<void> {
    if (events.length === 0) return;
    try {
      // Which events there are is for the compiler alone.
      this.#publisher ??= (await this.#options.publisher) as unknown as Publisher;
    } catch (error) {
      this.#lose(error, events.length);
      return;
    }
    const publisher = this.#publisher;
    if (this.#options.whenFull === "lose") {
      // Each by itself, lest one that is refused takes the others with it; in one go they travel together all the same.
      for (const event of events) this.#publish(publisher, event);
      return;
    }
    for (let start = 0; start < events.length; start += BATCH) {
      const batch = events.slice(start, start + BATCH);
      await this.#sendBatch(publisher, batch, (bytes * batch.length) / events.length + batch.length * EVENT_BYTES);
    }
    while (this.#pendingBytes > WINDOW_BYTES) await this.#change();
  }

  /** An event of a source that cannot wait. */
  offer(event: EventInput): void {
    const { publisher } = this.#options;
    if (publisher instanceof Promise) throw new TypeError("only a publisher that is there can be offered something");
    this.#publish(publisher as unknown as Publisher, event);
  }

  /** So many events are not taken on. */
  refuse(why: string, events: number): void {
    this.#lose(new PublisherError("queue_full", why), events);
  }

  /** Resolves when everything sent so far is settled. */
  async settled(): Promise<void> {
    while (this.#pending > 0) await this.#change();
  }

  async #sendBatch(publisher: Publisher, batch: readonly EventInput[], bytes: number): Promise<void> {
    for (;;) {
      const refusal = await this.#attempt(publisher, batch, bytes);
      if (refusal === undefined) return;
      if (refusal instanceof PublisherError && refusal.code === "queue_full") {
        await publisher.flush();
      } else if (batch.length > 1) {
        // One of them is to blame, and none of them was accepted. In halves: to find it among 250 takes 16 attempts.
        const half = Math.ceil(batch.length / 2);
        for (const part of [batch.slice(0, half), batch.slice(half)]) {
          await this.#sendBatch(publisher, part, (bytes * part.length) / batch.length);
        }
        return;
      } else {
        this.#notStored(refusal, 1);
        return;
      }
    }
  }

  /** Resolves with why none of the batch was accepted; `undefined` if it is on its way. */
  async #attempt(publisher: Publisher, batch: readonly EventInput[], bytes: number): Promise<unknown> {
    let refusal: unknown;
    let early = true;
    const published = withoutCapture(() => publisher.publishEach(this.#options.channel, batch, FOR_EVER));
    this.#follow(
      bytes,
      published.then(
        (outcomes) => this.#count(outcomes),
        (error: unknown) => {
          if (early) refusal = error;
          else this.#notStored(error, batch.length);
        },
      ),
    );
    // A refusal is there when what is due now has run.
    await new Promise(setImmediate);
    early = false;
    return refusal;
  }

  /** Publishes it if there is room, or it is lost. */
  #publish(publisher: Publisher, event: EventInput): void {
    const published = withoutCapture(() => publisher.publish(this.#options.channel, event, FOR_EVER));
    this.#follow(
      EVENT_BYTES,
      published.then(
        () => void this.#events++,
        (error: unknown) => this.#notStored(error, 1),
      ),
    );
  }

  /** @param told resolves when it is known what became of so many bytes */
  #follow(bytes: number, told: Promise<void>): void {
    this.#pending++;
    this.#pendingBytes += bytes;
    void told.then(() => {
      this.#pending--;
      this.#pendingBytes -= bytes;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const wake of waiting) wake();
    });
  }

  #count(outcomes: readonly PublishOutcome[]): void {
    // Those of a record that failed share one error: that is told once.
    const failures = new Map<PublisherError, number>();
    for (const outcome of outcomes) {
      if ("error" in outcome) failures.set(outcome.error, (failures.get(outcome.error) ?? 0) + 1);
      else this.#events++;
    }
    for (const [error, events] of failures) this.#notStored(error, events);
  }

  #notStored(error: unknown, events: number): void {
    // The publisher was closed, and its spool has it: the next one publishes it.
    if (error instanceof PublisherError && error.code === "spooled") return;
    this.#lose(error, events);
  }

  #lose(error: unknown, events: number): void {
    this.#lost += events;
    tell(this.#options.onError, error, events);
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}
