import {
  type EventLog,
  type HeadRecord,
  type LiveFeed,
  type LiveRecord,
  type LogEvent,
  type LogPage,
  type LogState,
  LogUnavailableError,
  type PageRequest,
  type RecordMark,
  type StoredRecord,
} from "../log/event-log.ts";
import { type Asked, type Computed, MemoryAnswers, nextTurn } from "./memory-answers.ts";
import { MemoryFeeds } from "./memory-feeds.ts";
import { MemoryStream } from "./memory-stream.ts";

export interface MemoryLogOptions {
  /** What it is connected to; default: a stream of its own. */
  readonly stream?: MemoryStream;
  readonly manual?: boolean;
}

/**
 * A connection to a log in memory, whose live feed and whose answers a test holds in its hand. Answers, computed when
 * they are asked for, come in a later turn of the event loop, live records at once. In manual mode nothing comes by
 * itself: every answer waits for `answer()`, every live record for `deliverLive()`.
 */
export class MemoryLog implements EventLog {
  epoch: string;
  connected = true;
  readonly stream: MemoryStream;
  readonly #answers = new MemoryAnswers();
  readonly #feeds = new MemoryFeeds();
  readonly #listeners = new Set<(event: LogEvent) => void>();
  readonly #disconnect: () => void;
  #closed = false;
  #askedStates = 0;
  #answeredStates = 0;

  constructor(options: MemoryLogOptions = {}) {
    this.stream = options.stream ?? new MemoryStream();
    this.epoch = this.stream.state().epoch;
    this.#answers.manual = options.manual ?? false;
    this.#disconnect = this.stream.connect((record) => this.republish(record));
  }

  /** How often each question was asked. */
  get asked(): Readonly<Record<Asked, number>> {
    return this.#answers.asked;
  }

  // What happens to the stream.

  /** Stores an event whose payload is `message`; unless told otherwise it is republished at once. */
  store(subject: string, message: string, options: { live?: boolean; text?: string } = {}): LiveRecord {
    const event = JSON.stringify({ type: "own", timestamp: "t", encoding: "json", payload: message });
    return this.stream.store(subject, Buffer.from(options.text ?? event), { live: options.live ?? true });
  }

  trim(first: number): void {
    this.stream.trim(first);
  }

  purge(subject: string, seq?: number): void {
    this.stream.purge(subject, seq);
  }

  loseTail(from: number): void {
    this.stream.loseTail(from);
  }

  /** Nobody is told until somebody asks for the state. */
  recreate(epoch: string): void {
    this.stream.recreate(epoch);
  }

  // What happens on the connection.

  republish(record: LiveRecord): void {
    this.#send(record.subject, record);
  }

  /** Something that cannot be read comes over a live feed. */
  garble(subject: string): void {
    this.#send(subject, undefined);
  }

  /** Answers of this kind are held back until the returned function is called. */
  hold(asked: Asked): () => void {
    return this.#answers.hold(asked);
  }

  /** Later answers of this kind are not held back any more; those that are stay so. */
  letPass(asked: Asked): void {
    this.#answers.letPass(asked);
  }

  tell(event: LogEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }

  /** The connection breaks: all that is under way on it is lost, and nothing is asked or sent until `heal()`. */
  cut(): void {
    if (!this.connected) return;
    this.connected = false;
    this.#feeds.lose();
    this.#answers.fail("the connection was lost");
    this.tell("disconnected");
  }

  heal(): void {
    if (this.connected || this.#closed) return;
    this.connected = true;
    this.tell("reconnected");
  }

  get manual(): boolean {
    return this.#answers.manual;
  }

  /** Turned off, everything that waits comes, in order: the live records, then the answers, as of now. */
  set manual(on: boolean) {
    this.#answers.manual = on;
    if (on) return;
    this.deliverLive(this.pendingLive);
    while (this.pendingAnswers > 0) this.answer();
  }

  /** How many questions are not answered yet. */
  get pendingAnswers(): number {
    return this.#answers.underWay.length;
  }

  /** Which ones, in the order in which they were asked. */
  get pendingQuestions(): readonly Asked[] {
    return this.#answers.underWay;
  }

  /** One answer arrives: what was true when it was asked for, or what is true now. Those behind it move up. */
  answer(index = 0, computed: Computed = "arrives"): void {
    this.#answers.answer(index, computed);
  }

  /** How many live records are under way. What is stored while nobody listens to its subject is never sent. */
  get pendingLive(): number {
    return this.#feeds.underWay;
  }

  /** The next ones arrive, in order. */
  deliverLive(count = 1): void {
    this.#feeds.deliver(count);
  }

  /** The next one is lost. */
  dropLive(): void {
    this.#feeds.lose(1);
  }

  // The port.

  async state(): Promise<LogState> {
    const asked = ++this.#askedStates;
    const state = await this.#ask("state", () => this.stream.state());
    // An answer that was overtaken by a later one says nothing of the present.
    if (asked > this.#answeredStates) {
      this.#answeredStates = asked;
      const recreated = this.epoch !== state.epoch;
      this.epoch = state.epoch;
      if (recreated) this.tell("recreated");
    }
    return state;
  }

  head(subject: string): Promise<HeadRecord | undefined> {
    return this.#ask("head", () => this.stream.head(subject));
  }

  at(seq: number): Promise<StoredRecord | undefined> {
    return this.#ask("at", () => this.stream.at(seq));
  }

  read(request: PageRequest): Promise<LogPage> {
    return this.#ask("read", () => this.stream.read(request));
  }

  heads(subjects: readonly string[], upToSeq: number): Promise<ReadonlyMap<string, RecordMark>> {
    return this.#ask("heads", () => this.stream.heads(subjects, upToSeq));
  }

  async live(subject: string, onRecord: (record: LiveRecord | undefined) => void): Promise<LiveFeed> {
    let feed: LiveFeed | undefined;
    const open = () => {
      // The stream knows of it when it was asked, or, computed again, not before the answer arrives.
      feed?.close();
      feed = this.#feeds.open(subject, onRecord);
      return feed;
    };
    try {
      return await this.#ask("live", open);
    } catch (error) {
      feed?.close();
      throw error;
    }
  }

  listen(listener: (event: LogEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.connected = false;
    this.#listeners.clear();
    this.#disconnect();
    this.#feeds.lose();
    this.#answers.fail("the log is closed");
  }

  async #ask<T>(asked: Asked, compute: () => T): Promise<T> {
    this.#answers.asked[asked]++;
    if (!this.connected) throw new LogUnavailableError("away");
    return this.#answers.ask(asked, compute);
  }

  #send(subject: string, record: LiveRecord | undefined): void {
    if (!this.connected) return;
    this.#feeds.send(subject, record);
    if (!this.manual) this.#feeds.deliver();
  }
}

/** Lets everything that is due happen: no answer of the memory log takes longer than so many turns of the event loop. */
export async function settle(turns = 60): Promise<void> {
  for (let i = 0; i < turns; i++) await nextTurn();
}
