import type { ChannelRecord } from "./channel-record.ts";
import type { Framing } from "./framing.ts";
import type { Sweep, Swept, SweptReader } from "./sweep.ts";

/** What a channel needs to know of one that reads it live. */
export interface LiveReader extends SweptReader {
  readonly framing: Framing;
  /** Bytes that its socket has not taken yet. */
  buffered(): number;
}

export interface LiveReadersOptions {
  readonly subject: string;
  /** A reader over this many unsent bytes falls behind. */
  readonly highWaterBytes: number;
  /** Sends a frame to every socket that joined the topic. */
  readonly fanOut: (topic: string, frame: Buffer) => void;
  readonly sweep: Sweep;
}

interface Topic {
  readonly send: (frame: Buffer) => void;
  readers: number;
}

/** Those who stand at a channel's head: an event goes to them once a topic, not once a reader. */
export class LiveReaders implements Swept {
  readonly #options: LiveReadersOptions;
  readonly #readers = new Set<LiveReader>();
  readonly #topics = new Map<Framing, Topic>();

  constructor(options: LiveReadersOptions) {
    this.#options = options;
  }

  /** The topic that readers of these frames join and leave. */
  topic(framing: Framing): string {
    return `${this.#options.subject}|${framing.name}`;
  }

  add(reader: LiveReader): void {
    if (this.#readers.has(reader)) return;
    this.#readers.add(reader);
    this.#options.sweep.joined(reader);
    const known = this.#topics.get(reader.framing);
    if (known !== undefined) {
      known.readers++;
      return;
    }
    const name = this.topic(reader.framing);
    const { fanOut } = this.#options;
    this.#topics.set(reader.framing, { send: (frame) => fanOut(name, frame), readers: 1 });
  }

  delete(reader: LiveReader): void {
    if (!this.#readers.delete(reader)) return;
    this.#options.sweep.left(reader);
    const topic = this.#topics.get(reader.framing) as Topic;
    if (--topic.readers === 0) this.#topics.delete(reader.framing);
    if (this.#readers.size === 0) this.#options.sweep.forget(this);
  }

  /** Sends a record that now is the head. The topics drop nothing, so whoever takes too little is told to leave. */
  publish(record: ChannelRecord): void {
    if (this.#readers.size === 0 || record.bytes.length === 0) return;
    for (const [framing, topic] of this.#topics) framing.record(record, -1, topic.send);
    this.#options.sweep.published(this, record.bytes.length);
  }

  sweep(): void {
    const { sweep, highWaterBytes } = this.#options;
    for (const reader of [...this.#readers]) {
      if (reader.buffered() > highWaterBytes) sweep.empty(reader.socket);
    }
  }
}
