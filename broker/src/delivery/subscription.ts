import type { CommandId } from "@kata/protocol/wire";
import type { EventLog } from "../log/event-log.ts";
import type { Channel } from "./channel.ts";
import { type ChannelRecord, endOf } from "./channel-record.ts";
import type { Clock } from "./clock.ts";
import { encodeControl } from "./control.ts";
import type { DeliveryFigures } from "./figures.ts";
import type { Framing } from "./framing.ts";
import type { LiveReader } from "./live-readers.ts";
import { askedAt, locate, type Start, type StartRequest, type StartWish } from "./locate.ts";
import { whileAway } from "./pause.ts";
import { ORIGIN, type Position, positionId } from "./position.ts";
import type { SocketTurns } from "./socket-turns.ts";
import { INITIAL, type Input, next, type Phase, placeNow, type SubscriptionState } from "./subscription-state.ts";

/** What a subscription sees of a socket. */
export interface Reader {
  send(frame: Buffer): void;
  /** Runs `work`; what it sends may go out together. */
  batch(work: () => void): void;
  /** Bytes that the socket has not taken yet. */
  buffered(): number;
  join(topic: string): void;
  leave(topic: string): void;
}

export interface SubscriptionOptions {
  readonly channel: Channel;
  readonly log: EventLog;
  readonly clock: Clock;
  readonly figures: DeliveryFigures;
  readonly reader: Reader;
  readonly framing: Framing;
  /** Replay rests while the socket holds more than this many unsent bytes. */
  readonly highWaterBytes: number;
  readonly turns: SocketTurns;
  /** Told of an error that is no outage: a defect. The subscription cannot go on. */
  readonly onDefect: (error: unknown) => void;
}

/**
 * One socket's way through one channel: it finds its start, catches up, joins the live feed, and falls behind again. What
 * follows what is decided in subscription-state.ts; here is what is done about it. Nothing is kept for a socket that
 * is full: what it has not been given is asked for again when it has taken some.
 */
export class Subscription implements LiveReader {
  readonly framing: Framing;
  readonly #options: SubscriptionOptions;
  readonly #channel: Channel;
  readonly #reader: Reader;
  #state: SubscriptionState = INITIAL;
  /** Goes on with a start that waits until the socket has room. */
  #roomy: (() => void) | undefined;
  /** Which run is the one in force; every other one ends at its next step. */
  #run = 0;

  constructor(options: SubscriptionOptions) {
    this.#options = options;
    this.#channel = options.channel;
    this.#reader = options.reader;
    this.framing = options.framing;
  }

  /**
   * What [PING-1] may say of this subscription: the place up to which its socket has been sent everything. `undefined`
   * before the first `caught_up`, when no pong is about it; `ORIGIN` while the place is being looked for anew.
   */
  get sentUpTo(): { readonly epoch: string; readonly position: Position } | undefined {
    const { phase, place, everCaughtUp } = this.#state;
    if (!everCaughtUp || place === undefined) return undefined;
    if (phase === "live") return { epoch: place.epoch, position: this.#channel.mark };
    return { epoch: place.epoch, position: phase === "locating" ? ORIGIN : place.position };
  }

  get socket(): Reader {
    return this.#reader;
  }

  get channel(): Channel {
    return this.#channel;
  }

  get phase(): Phase {
    return this.#state.phase;
  }

  start(wish: StartWish, commandId: CommandId | undefined): void {
    this.#channel.enter(this);
    this.#locate(askedAt(wish, Date.now()), commandId);
  }

  /** The socket took bytes. Below half its mark there is room for more than the piece of a page. */
  drained(): void {
    if (this.#reader.buffered() > this.#options.highWaterBytes / 2) return;
    if (this.#roomy !== undefined || this.#state.phase === "paused") this.#options.turns.offer(this.#reader, this);
    this.#roomy?.();
    if (this.#state.phase !== "paused") return;
    this.#input({ type: "drained" });
    this.#goOn();
  }

  /** Ends it and returns the last position that was sent; no event follows [UNSUBSCRIBE-1]. */
  close(): string | undefined {
    this.#input({ type: "closed", end: this.#channel.end });
    this.#options.turns.pass(this.#reader, this);
    this.#channel.leave(this);
    return this.#lastId();
  }

  buffered(): number {
    return this.#reader.buffered();
  }

  fallBehind(): void {
    this.#options.figures.fellBehind++;
    this.#input({ type: "fell behind", end: this.#channel.end });
  }

  relocate(): void {
    // Before `subscribed` was sent there is no place to lose; the run under way looks at the new log by itself.
    if (this.#state.phase === "closed" || this.#state.phase === "locating") return;
    this.#input({ type: "lost", end: this.#channel.end });
    this.#locate({ kind: "after", eventId: this.#lastId() as string }, undefined);
  }

  endLost(end: Position): void {
    this.#input({ type: "end lost", end });
  }

  #input(input: Input): void {
    const before = this.#state.phase;
    this.#state = next(this.#state, input);
    const after = this.#state.phase;
    if (after === before) return;
    // Whatever ran for the phase before must not go on.
    this.#run++;
    const topic = this.#channel.topic(this.framing);
    if (before === "live") {
      this.#reader.leave(topic);
      this.#channel.leaveLive(this);
    } else if (after === "live") {
      this.#reader.join(topic);
      this.#channel.goLive(this);
    }
  }

  #lastId(): string | undefined {
    const place = placeNow(this.#state, this.#channel.end);
    if (place === undefined) return undefined;
    return place.moved ? positionId(place.epoch, place.position) : place.startId;
  }

  #locate(request: StartRequest, commandId: CommandId | undefined): void {
    const { log, clock } = this.#options;
    const run = ++this.#run;
    const stopped = () => this.#run !== run;
    this.#do(run, async () => {
      const found = await whileAway({ log, clock, stopped }, async () => {
        await this.#channel.settled(this);
        if (stopped()) return undefined;
        const { life } = this.#channel;
        return { life, start: await locate(log, this.#channel, request, stopped) };
      });
      if (found === undefined || stopped()) return;
      // The log changed while it was asked. Looked at here, in the tick of `subscribed`: from then on the channel tells.
      const changed = this.#channel.life !== found.life || found.start.position.seq > this.#channel.mark.seq;
      if (changed) return this.#locate(request, commandId);
      // The rest of a record would have to be kept, or sent into a full socket: looked up again when there is room.
      if (found.start.rest !== undefined && this.#full() && !this.#isItsTurn) {
        await new Promise<void>((resolve) => {
          this.#roomy = resolve;
        });
        this.#roomy = undefined;
        return stopped() ? undefined : this.#locate(request, commandId);
      }
      this.#announce(found.start, commandId);
      this.#goOn();
    });
  }

  #announce(start: Start, commandId: CommandId | undefined): void {
    const { recovery, reason, eventId, position, rest, first } = start;
    if (reason !== undefined) this.#options.figures.gaps[reason]++;
    this.#control("subscribed", eventId, {
      recovery,
      ...(reason === undefined ? {} : { reason }),
      ...(commandId === undefined ? {} : { id: commandId }),
    });
    this.#input({ type: "located", place: { epoch: this.#channel.epoch, position, startId: eventId, moved: false } });
    if (rest !== undefined) {
      this.framing.record(rest.record, rest.afterLine, this.#send);
      this.#input({ type: "sent", position });
      this.#options.turns.pass(this.#reader, this);
    }
    if (first !== undefined) this.#sendSome(first);
  }

  #goOn(): void {
    const run = this.#run;
    this.#do(run, () => this.#catchUp(run));
  }

  async #catchUp(run: number): Promise<void> {
    while (this.#run === run) {
      if (this.#full()) {
        this.#channel.socketFull(this.#reader);
        return this.#input({ type: "full" });
      }
      if (this.#channel.doubted) {
        await this.#channel.settled(this);
        continue;
      }
      const { position } = this.#state.place as { position: Position };
      const recent = this.#channel.after(position);
      if (recent === undefined) {
        await this.#fromLog(run, position);
      } else if (recent.length > 0) {
        this.#sendSome(recent);
      } else {
        // The position is the head, and this tick ends after the join: no event can fall between [ORDER-1].
        return this.#join();
      }
    }
  }

  async #fromLog(run: number, position: Position): Promise<void> {
    const { log, clock } = this.#options;
    const channel = this.#channel;
    const { life } = channel;
    const stopped = () => this.#run !== run;
    const page = await whileAway({ log, clock, stopped }, async () => {
      await channel.settled(this);
      if (stopped()) return undefined;
      const read = await channel.pages.read(channel.epoch, position);
      if (typeof read !== "string") await channel.reach((read[0] as ChannelRecord).seq);
      return read;
    });
    // What was read in another life of the channel is read again.
    if (page === undefined || stopped() || channel.life !== life) return;
    if (typeof page !== "string") return this.#sendSome(page);
    // [RESUME-6] Trimmed, rewritten or recreated while this reader was on its way.
    this.#input({ type: "lost", end: channel.end });
    this.#locate({ kind: "gap", reason: page }, undefined);
  }

  /** Sends until the socket holds enough; at least one record if it is its turn. */
  #sendSome(records: readonly ChannelRecord[]): void {
    const { turns } = this.#options;
    // The log may know more than the live feed has brought: what lies beyond the mark comes over that.
    const { seq: mark } = this.#channel.mark;
    this.#reader.batch(() => {
      for (const record of records) {
        // Before each: others of this socket may have filled it while the log was asked.
        if (record.seq > mark || (this.#full() && !this.#isItsTurn)) return;
        this.framing.record(record, -1, this.#send);
        this.#input({ type: "sent", position: endOf(record) });
        turns.pass(this.#reader, this);
      }
    });
  }

  #join(): void {
    this.#options.turns.pass(this.#reader, this);
    const due = this.#state.caughtUpDue;
    const eventId = this.#lastId();
    this.#input({ type: "joined" });
    if (due) this.#control("caught_up", eventId, {});
  }

  #full(): boolean {
    const { highWaterBytes, turns } = this.#options;
    const room = turns.isAnothers(this.#reader, this) ? highWaterBytes / 2 : highWaterBytes;
    return this.#reader.buffered() > room;
  }

  get #isItsTurn(): boolean {
    return this.#options.turns.has(this.#reader, this);
  }

  readonly #send = (frame: Buffer): void => this.#reader.send(frame);

  #control<T extends "subscribed" | "caught_up">(
    type: T,
    eventId: string | undefined,
    payload: Parameters<typeof encodeControl<T>>[1],
  ): void {
    const { name: channel } = this.#channel;
    const envelope = encodeControl(type, payload, eventId === undefined ? { channel } : { channel, eventId });
    this.#reader.send(this.framing.control(envelope, type, eventId));
  }

  #do(run: number, work: () => Promise<void>): void {
    work().catch((error: unknown) => {
      if (this.#run === run) this.#options.onDefect(error);
    });
  }
}
