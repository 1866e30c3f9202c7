import { type EventLog, LogUnavailableError } from "../log/event-log.ts";
import { Channel, type ChannelOptions } from "./channel.ts";
import { LogEnd } from "./log-end.ts";
import { Places } from "./places.ts";
import { Survey } from "./survey.ts";

export interface ChannelsOptions extends Omit<ChannelOptions, "name" | "subject" | "survey" | "places"> {
  /** How long a channel without readers stays open, milliseconds: readers often come back. */
  readonly lingerMs: number;
  /** How often heads are compared with the log, milliseconds. */
  readonly auditIntervalMs: number;
}

/** The open channels, one a subject, and the audit that compares them with the log. */
export class Channels {
  readonly #options: ChannelsOptions;
  readonly #log: EventLog;
  readonly #places = new Places();
  readonly #survey: Survey;
  readonly #open = new Map<string, Channel>();
  /** How many of them have a name: two where it has just become another team's. */
  readonly #names = new Map<string, number>();
  readonly #lingering = new Map<string, () => void>();
  readonly #unlisten: () => void;
  #stopAuditing: () => void = () => undefined;
  #auditing: Promise<void> | undefined;

  constructor(options: ChannelsOptions) {
    this.#options = options;
    this.#log = options.log;
    const end = new LogEnd(options.log, () => this.#doubt());
    this.#survey = new Survey(options.log, this.#places, end);
    this.#unlisten = options.log.listen((event) => {
      // What was published while the connection was away reached nobody here; a new stream is found out the same way.
      // Before anything live is believed: the log may have lost its end, and handed the same sequences out again.
      if (event !== "disconnected") this.#doubt();
    });
    this.#auditLater();
  }

  get size(): number {
    return this.#open.size;
  }

  /** Whether a channel of this name is open, whichever team's. */
  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** The channel of a subject, opened if need be. */
  open(name: string, subject: string): Channel {
    this.#lingering.get(subject)?.();
    this.#lingering.delete(subject);
    let channel = this.#open.get(subject);
    if (channel === undefined) {
      channel = new Channel({ ...this.#options, name, subject, survey: this.#survey, places: this.#places });
      this.#open.set(subject, channel);
      this.#names.set(name, (this.#names.get(name) ?? 0) + 1);
    }
    return channel;
  }

  /** A reader left: without any other the channel closes after a while. */
  release(channel: Channel): void {
    const { subject } = channel;
    if (channel.readers > 0 || this.#lingering.has(subject) || this.#open.get(subject) !== channel) return;
    const cancel = this.#options.clock.after(this.#options.lingerMs, () => {
      this.#lingering.delete(subject);
      if (channel.readers > 0) return;
      this.#open.delete(subject);
      const others = (this.#names.get(channel.name) ?? 1) - 1;
      if (others === 0) this.#names.delete(channel.name);
      else this.#names.set(channel.name, others);
      channel.close();
    });
    this.#lingering.set(subject, cancel);
  }

  /**
   * Republishing is at most once: a lost last message would show only when the next one comes. If the log has moved on from
   * where a channel is known to be complete, the two are compared: the channel repairs itself, or is known complete up to here.
   */
  audit(): Promise<void> {
    this.#auditing ??= this.#audit().finally(() => {
      this.#auditing = undefined;
    });
    return this.#auditing;
  }

  close(): void {
    this.#stopAuditing();
    this.#unlisten();
    for (const cancel of this.#lingering.values()) cancel();
    for (const channel of this.#open.values()) channel.close();
    this.#open.clear();
    this.#names.clear();
  }

  /** Nothing that was heard or read of the log's end may be believed. */
  #doubt(): void {
    this.#places.clear();
    for (const channel of this.#open.values()) channel.doubt();
  }

  #auditLater(): void {
    this.#stopAuditing = this.#options.clock.after(this.#options.auditIntervalMs, () => {
      this.#auditLater();
      void this.audit();
    });
  }

  async #audit(): Promise<void> {
    if (this.#open.size === 0 || !this.#log.connected) return;
    try {
      const { lastSeq, epoch } = await this.#survey.lookAtEnd();
      const due = [...this.#open.values()].filter(({ mark, epoch: known }) => mark.seq !== lastSeq || known !== epoch);
      await Promise.all(due.map((channel) => channel.audit()));
      this.#options.figures.audits++;
    } catch (error) {
      // Without the log there is nothing to compare with; the next audit will find out.
      if (!(error instanceof LogUnavailableError)) this.#options.onDefect(error);
    }
  }
}
