import { type EventLog, LogUnavailableError, type RecordMark, type StoredRecord } from "../log/event-log.ts";
import { Channel, type ChannelOptions } from "./channel.ts";
import { positionOf } from "./channel-record.ts";
import { Turns } from "./turns.ts";

export interface ChannelsOptions extends Omit<ChannelOptions, "name" | "subject" | "turns"> {
  /** How long a channel without readers stays open, milliseconds: readers often come back. */
  readonly lingerMs: number;
  /** How often heads are compared with the log, milliseconds. */
  readonly auditIntervalMs: number;
}

/** How many subjects are asked for at once: the server refuses more than 1,024, and answers with the whole messages. */
const AUDIT_BATCH = 500;
/** How many channels ask for their newest record at a time: it comes with its bytes, up to 1 MiB each. */
const TURNS = 16;

/** The open channels, one a subject, and the audit that compares them with the log. */
export class Channels {
  readonly #options: ChannelsOptions;
  readonly #log: EventLog;
  readonly #open = new Map<string, Channel>();
  readonly #turns = new Turns(TURNS);
  readonly #lingering = new Map<string, NodeJS.Timeout>();
  readonly #unlisten: () => void;
  readonly #timer: NodeJS.Timeout;
  #auditing: Promise<void> | undefined;
  #allDue = false;
  #closed = false;

  constructor(options: ChannelsOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#unlisten = options.log.listen((event) => {
      // What was published while the connection was away reached nobody here; a new stream is found out the same way.
      if (event !== "disconnected") void this.audit("all");
    });
    this.#timer = setInterval(() => void this.audit("moved"), options.auditIntervalMs);
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
      channel = new Channel({ ...this.#options, name, subject, turns: this.#turns });
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
   * Republishing is at most once: a lost last message would show only when the next one comes. Compares heads with the
   * log's; a channel that differs repairs itself, and the others are then known complete up to here.
   *
   * @param which `all` when anything may have happened to the log meanwhile, `moved` for the channels that it has moved on from
   */
  async audit(which: "all" | "moved"): Promise<void> {
    if (which === "all") this.#allDue = true;
    this.#auditing ??= this.#auditUntilDone().finally(() => {
      this.#auditing = undefined;
    });
    await this.#auditing;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#unlisten();
    for (const timer of this.#lingering.values()) clearTimeout(timer);
    for (const channel of this.#open.values()) channel.close();
    this.#open.clear();
  }

  async #auditUntilDone(): Promise<void> {
    do {
      const which = this.#allDue ? "all" : "moved";
      this.#allDue = false;
      await this.#tryAudit(which);
      // Asked for while this one ran: the log may have changed since it looked.
    } while (this.#allDue && !this.#closed);
  }

  async #tryAudit(which: "all" | "moved"): Promise<void> {
    try {
      await this.#audit(which);
    } catch (error) {
      // An audit that finds the log away has nothing to compare with; the next one will. After a reconnect that may
      // be too late: every channel then looks for itself as soon as it can.
      if (!(error instanceof LogUnavailableError)) this.#options.onDefect(error);
      if (which === "all") for (const channel of this.#open.values()) void channel.repair();
    }
  }

  async #audit(which: "all" | "moved"): Promise<void> {
    if (this.#open.size === 0 || this.#closed || !this.#log.connected) return;
    const lives = new Map([...this.#open.values()].map((channel) => [channel, channel.life]));
    const { lastSeq, epoch } = await this.#log.state();
    const due = [...lives.keys()].filter((channel) => {
      return which === "all" || channel.epoch !== epoch || channel.mark.seq !== lastSeq;
    });
    if (due.length === 0) return;
    const last = lastSeq === 0 ? undefined : await this.#log.at(lastSeq);
    for (let i = 0; i < due.length; i += AUDIT_BATCH) {
      const batch = due.slice(i, i + AUDIT_BATCH);
      const heads = last && (await this.#headsUpTo(last, batch));
      for (const channel of batch) {
        const life = lives.get(channel) as number;
        const position = last && positionOf(last);
        if (channel.epoch !== epoch || position === undefined) void channel.repair();
        else if (!agrees(channel, heads?.get(channel.subject), lastSeq)) void channel.repair({ position, life });
        else channel.audited({ position, life });
      }
    }
  }

  async #headsUpTo(last: StoredRecord, channels: readonly Channel[]): Promise<ReadonlyMap<string, RecordMark>> {
    const subjects = new Set([last.subject, ...channels.map((channel) => channel.subject)]);
    const heads = await this.#log.heads([...subjects], last.seq);
    // A replica that lags reports heads that are too old; it cannot know the last record.
    if (heads.get(last.subject)?.seq !== last.seq) throw new LogUnavailableError("a replica of the log lags behind");
    return heads;
  }
}

/** Whether the log's newest record up to `upToSeq` is one that the channel has. */
function agrees({ head }: Channel, newest: RecordMark | undefined, upToSeq: number): boolean {
  // The channel has moved on meanwhile, without a hole: it is complete up to there.
  if (head.seq > upToSeq) return true;
  return newest === undefined ? head.seq === 0 : newest.seq === head.seq && newest.check === head.check;
}
