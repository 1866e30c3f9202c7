import { type ChannelRecord, forEachEvent } from "./channel-record.ts";

/** What a channel needs to know of one that reads it live. */
export interface LiveReader {
  readonly ndjson: boolean;
  /** Bytes that its socket has not taken yet. */
  buffered(): number;
  /** Leave the live feed and go on from the head: the socket takes less than comes. */
  fallBehind(): void;
}

export interface LiveReadersOptions {
  readonly subject: string;
  /** A reader over this many unsent bytes falls behind. */
  readonly highWaterBytes: number;
  /** Sends a frame to every socket that joined the topic. */
  readonly fanOut: (topic: string, frame: Buffer) => void;
}

/** How many published bytes lie between two looks at the readers' buffers. */
const SWEEP_BYTES = 256 * 1024;

/** Those who stand at a channel's head: an event goes to them once a topic, not once a reader. */
export class LiveReaders {
  readonly #options: LiveReadersOptions;
  readonly #readers = new Set<LiveReader>();
  #ndjson = 0;
  #sinceSweep = 0;

  constructor(options: LiveReadersOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#readers.size;
  }

  /** The topic that a reader of this kind of frames joins and leaves. */
  topic(ndjson: boolean): string {
    return `${this.#options.subject}|${ndjson ? "lines" : "single"}`;
  }

  add(reader: LiveReader): void {
    this.#readers.add(reader);
    if (reader.ndjson) this.#ndjson++;
  }

  delete(reader: LiveReader): void {
    if (this.#readers.delete(reader) && reader.ndjson) this.#ndjson--;
  }

  /** Sends a record that now is the head. The topics drop nothing, so whoever takes too little is told to leave. */
  publish(record: ChannelRecord): void {
    if (this.#readers.size === 0 || record.bytes.length === 0) return;
    const { fanOut } = this.#options;
    if (this.#ndjson > 0) fanOut(this.topic(true), record.bytes);
    if (this.#ndjson < this.#readers.size) {
      const topic = this.topic(false);
      forEachEvent(record, -1, (envelope) => fanOut(topic, envelope));
    }
    this.#sinceSweep += record.bytes.length;
    if (this.#sinceSweep >= SWEEP_BYTES) this.#sweep();
  }

  #sweep(): void {
    this.#sinceSweep = 0;
    for (const reader of [...this.#readers]) {
      if (reader.buffered() > this.#options.highWaterBytes) reader.fallBehind();
    }
  }
}
