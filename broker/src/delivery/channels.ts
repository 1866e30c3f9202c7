import { type EventLog, LogUnavailableError } from "../log/event-log.ts";
import { Channel, type ChannelOptions } from "./channel.ts";
import type { Position } from "./position.ts";

export interface ChannelsOptions extends Omit<ChannelOptions, "name" | "subject"> {
  /** How long a channel without readers stays open, milliseconds: readers often come back. */
  readonly lingerMs: number;
  /** How often heads are compared with the log, milliseconds. */
  readonly auditIntervalMs: number;
}

/** At most so many subjects are asked for at once; the server refuses more than 1,024. */
const AUDIT_BATCH = 1_000;

/** The open channels, one a subject, and the audit that compares them with the log. */
export class Channels {
  readonly #options: ChannelsOptions;
  readonly #log: EventLog;
  readonly #open = new Map<string, Channel>();
  readonly #lingering = new Map<string, NodeJS.Timeout>();
  readonly #unlisten: () => void;
  readonly #timer: NodeJS.Timeout;
  #auditing: Promise<void> | undefined;
  #closed = false;

  constructor(options: ChannelsOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#unlisten = options.log.listen((event) => {
      // What was published while the connection was away reached nobody here; a new stream is found out the same way.
      if (event !== "disconnected") for (const channel of this.#open.values()) void channel.repair();
    });
    this.#timer = setInterval(() => void this.audit(), options.auditIntervalMs);
    this.#timer.unref();
  }

  get size(): number {
    return this.#open.size;
  }

  /** The channel of a subject, opened if need be. */
  open(name: string, subject: string): Channel {
    clearTimeout(this.#lingering.get(subject));
    this.#lingering.delete(subject);
    let channel = this.#open.get(subject);
    if (channel === undefined) {
      channel = new Channel({ ...this.#options, name, subject });
      this.#open.set(subject, channel);
    }
    return channel;
  }

  /** A reader left: without any other the channel closes after a while. */
  release(channel: Channel): void {
    const { subject } = channel;
    if (channel.readers > 0 || this.#lingering.has(subject) || this.#open.get(subject) !== channel) return;
    const timer = setTimeout(() => {
      this.#lingering.delete(subject);
      if (channel.readers > 0) return;
      this.#open.delete(subject);
      channel.close();
    }, this.#options.lingerMs);
    timer.unref();
    this.#lingering.set(subject, timer);
  }

  /**
   * Republishing is at most once: a lost last message would show only when the next one comes. Compares every head
   * with the log's; a channel that is behind repairs itself, and every one is then known complete up to here.
   */
  audit(): Promise<void> {
    this.#auditing ??= this.#audit()
      .catch((error: unknown) => {
        // An audit that finds the log away has nothing to compare with; the next one will.
        if (!(error instanceof LogUnavailableError)) throw error;
      })
      .finally(() => {
        this.#auditing = undefined;
      });
    return this.#auditing;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#unlisten();
    for (const timer of this.#lingering.values()) clearTimeout(timer);
    for (const channel of this.#open.values()) channel.close();
    this.#open.clear();
  }

  async #audit(): Promise<void> {
    if (this.#open.size === 0 || this.#closed || !this.#log.connected) return;
    const { lastSeq, epoch } = await this.#log.state();
    const channels = [...this.#open.values()].filter(
      (channel) => channel.epoch === epoch && channel.mark.seq < lastSeq,
    );
    if (channels.length === 0) return;
    const last = await this.#log.at(lastSeq);
    if (last === undefined) return;
    const position: Position = { seq: last.seq, check: last.check, line: 0 };
    for (let i = 0; i < channels.length; i += AUDIT_BATCH) {
      const batch = channels.slice(i, i + AUDIT_BATCH);
      const subjects = batch.map((channel) => channel.subject);
      const heads = await this.#log.heads(subjects, lastSeq);
      for (const channel of batch) {
        if ((heads.get(channel.subject) ?? 0) > channel.head.seq) void channel.repair(position);
        else channel.audited(position);
      }
    }
  }
}
