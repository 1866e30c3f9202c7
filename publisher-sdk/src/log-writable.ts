import { Writable } from "node:stream";
import type { EventInput } from "./event.ts";
import { LineCutter, type LineText, textsOf } from "./line-cutter.ts";
import type { LogFeed } from "./log-feed.ts";

/** What is taken before the writer is told to wait, bytes: enough for the time until a publisher is connected. */
const HIGH_WATER_BYTES = 4 * 1024 * 1024;
const SLICE_BYTES = 256 * 1024;
/** What waits in front of the publisher's queue at most, bytes: a writer that does not wait when it is told to must not fill the memory. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

export interface LogWritableOptions {
  readonly feed: LogFeed;
  readonly eventsOf: (text: LineText) => EventInput | readonly EventInput[];
  readonly cutter?: LineCutter;
  /** Called when no more will be written, while some of it may still wait. */
  readonly ending?: () => void;
  /** Awaited when the last event is settled, before the stream says that it has finished; it does not reject. */
  readonly closed?: () => Promise<void>;
}

/** A stream to write lines to, each of which becomes an event. It has no errors: what goes wrong is told by its feed. */
export class LogWritable extends Writable {
  readonly #feed: LogFeed;
  readonly #eventsOf: LogWritableOptions["eventsOf"];
  readonly #cutter: LineCutter;
  #ending: () => void = () => undefined;
  readonly #closed: () => Promise<void>;

  constructor(options: LogWritableOptions) {
    super({ highWaterMark: HIGH_WATER_BYTES });
    const { feed, eventsOf, cutter = new LineCutter(), ending, closed = async () => undefined } = options;
    this.#feed = feed;
    this.#eventsOf = eventsOf;
    this.#cutter = cutter;
    this.#closed = closed;
    // The stream's own word, `finish`, comes when everything is written, which may be waited for in vain.
    if (ending !== undefined) this.#ending = ending;
  }

  // pino with several targets writes on, whatever it is told.
  override write(chunk: unknown, ...rest: unknown[]): boolean {
    if (this.writableLength < MAX_WAITING_BYTES) {
      return (super.write as (...args: unknown[]) => boolean)(chunk, ...rest);
    }
    this.#feed.refuse(`${MAX_WAITING_BYTES} bytes wait to be published`, linesIn(chunk));
    const done = rest.at(-1);
    if (typeof done === "function") process.nextTick(done);
    return false;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    void this.#take(chunk).then(() => done());
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer; readonly encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    void this.#take(Buffer.concat(chunks.map(({ chunk }) => chunk))).then(() => done());
  }

  override end(...args: unknown[]): this {
    this.#ending();
    return (super.end as (...args: unknown[]) => this)(...args);
  }

  /** What has no line feed at the end is a line too. */
  override _final(done: (error?: Error | null) => void): void {
    void this.#send(this.#cutter.end(), 0)
      .then(() => this.#feed.settled())
      .then(() => this.#closed())
      .then(() => done());
  }

  /** Calls back when every line that was written so far is settled, one way or the other. */
  flush(done: (error?: Error | null) => void = () => undefined): void {
    // Its turn comes behind what waits to be written.
    if (this.writableEnded) void this.#feed.settled().then(() => done());
    else super.write("", () => void this.#feed.settled().then(() => done()));
  }

  /** Lines weigh many times what their bytes do, so not all that waits becomes lines at once. */
  async #take(bytes: Buffer): Promise<void> {
    for (let start = 0; start < bytes.length; start += SLICE_BYTES) {
      const slice = bytes.subarray(start, start + SLICE_BYTES);
      await this.#send(this.#cutter.push(slice), slice.length);
    }
  }

  #send(texts: readonly LineText[], bytes: number): Promise<void> {
    const events = texts.flatMap((text) => {
      try {
        return this.#eventsOf(text);
      } catch {
        // A line that somebody made so that it cannot be read as more than what it is.
        return textsOf(text.message).map((payload): EventInput => ({ type: "log_entry", payload }));
      }
    });
    return this.#feed.send(events, bytes);
  }
}

function linesIn(chunk: unknown): number {
  return Math.max(1, String(chunk).split("\n").length - 1);
}
