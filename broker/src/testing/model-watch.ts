import { formatEventId, type GapReason } from "@kata/protocol/wire";
import { positionId } from "../delivery/position.ts";
import type { Subscription } from "../delivery/subscription.ts";
import { gapFault, isLost } from "./model-gap.ts";
import { idOf, type Life, type ModelEvent, type ModelLog, nameOf, type Place, placeOf } from "./model-log.ts";
import { type Outcome, outcomesOf } from "./model-outcomes.ts";
import type { ModelMessage } from "./model-socket.ts";
import { type ClientStart, type Since, startFault, wishOf } from "./model-start.ts";

/** What is known of a subscription besides what it sends. */
export interface Watched extends Pick<Subscription, "phase" | "sentUpTo"> {
  readonly channel: Pick<Subscription["channel"], "epoch" | "head">;
}

export interface WatchOptions {
  readonly log: ModelLog;
  readonly subject: string;
  readonly start: ClientStart;
  readonly subscription: Watched;
  /** What the broker last heard of the stream's life, and whether it can hear more. */
  readonly heard: () => { readonly epoch: string; readonly connected: boolean };
  readonly complain: (what: string) => void;
}

/**
 * Holds everything that one subscription is sent, in the moment it is sent, against what was stored. What an application
 * is handed across its connections follows from it: it goes on at a position that it was sent.
 */
export class Watch {
  readonly #options: WatchOptions;
  /** What may be said to the resume: whatever was right at some time since it was asked. */
  readonly #outcomes = new Set<Outcome>();
  readonly #since: Since;
  #place: Place | undefined;
  /** Trimmed before the start was said: nobody is owed it. */
  #excused: { readonly life: Life; readonly before: number } | undefined;
  #caughtUpDue = false;
  #everCaughtUp = false;
  /** What was said by a broker that believed in a life of the log that had ended: it owes a reset, and nothing else counts. */
  #misled: string | undefined;
  /** The last place up to which the subscription claimed to have been sent everything. */
  #claimed: Place | undefined;

  constructor(options: WatchOptions) {
    this.#options = options;
    const { head, epoch } = options.subscription.channel;
    this.#since = { timeMs: Date.now(), head: options.log.place(formatEventId(epoch, head.seq, head.check)) };
    this.logChanged();
  }

  get subject(): string {
    return this.#options.subject;
  }

  /** To be called whenever the log has changed. */
  logChanged(): void {
    const { start, log, heard } = this.#options;
    if (this.#place !== undefined || start.kind !== "after") return;
    // What the log has lost is still known to a broker that is away from it; it will tell when it is back.
    if (!heard().connected && log.place(start.eventId)?.life === log.life) this.#outcomes.add("complete");
    for (const outcome of outcomesOf(start.eventId, log)) this.#outcomes.add(outcome);
  }

  /** To be called after each step: notes what a ping would be told. */
  look(): void {
    const { subscription, log } = this.#options;
    const sent = subscription.sentUpTo;
    // While the place is looked for anew nothing is claimed.
    if (sent !== undefined && subscription.phase !== "locating")
      this.#claimed = log.place(positionId(sent.epoch, sent.position)) ?? this.#claimed;
  }

  receive(message: ModelMessage): void {
    if (message.type === "subscribed") this.#subscribed(message);
    else if (this.#place === undefined && this.#misled === undefined)
      this.#complain(`${message.type} came before subscribed`);
    else if (message.type === "caught_up") this.#caughtUp(message.eventId);
    else this.#event(message);
  }

  /** The subscription ended, and this was named as its last position. */
  ended(eventId: string | undefined): void {
    if (eventId !== undefined) this.#standsAt("unsubscribed", eventId);
  }

  /** A pong named this place [PING-1]. */
  pong(eventId: string): void {
    if (!this.#everCaughtUp || this.#misled !== undefined) return;
    const place = this.#named("pong", eventId);
    // Another channel of the connection may not have heard yet that the place is lost; who resumes there is told.
    if (place === undefined || isLost(place)) return;
    // The channel has not looked yet, and the place where this reader stands is gone: no client goes back for a pong.
    const stands = this.#place as Place;
    if (stands.life === place.life && isLost(stands) && place.seq <= stands.seq) return;
    const missing = this.#missing(place);
    if (missing === undefined) this.#refute(`pong ${eventId} is a place of another log than ${this.#where()}`);
    else if (missing.length > 0) this.#refute(`pong ${eventId} although ${said(missing)} was not sent`);
  }

  /** What is missing once all that was under way has come; `undefined` if nothing is. */
  lacks(): string | undefined {
    const { log, subscription } = this.#options;
    if (subscription.phase !== "live") return `it is ${subscription.phase} at the end`;
    if (this.#misled !== undefined) return `the stream was made anew, and no gap was told after this: ${this.#misled}`;
    if (this.#place === undefined) return "subscribed never came";
    if (this.#caughtUpDue) return "caught_up never came";
    const missing = this.#missing(log.end());
    if (missing === undefined) return `what it was sent up to ${this.#where()} is lost, and no gap was told`;
    return missing.length > 0 ? `${said(missing)} never came` : undefined;
  }

  /** What is missing once an audit has ended, besides. */
  lacksAudited(): string | undefined {
    const { log, subscription } = this.#options;
    const mark = subscription.sentUpTo?.position.seq;
    return mark === log.lastSeq ? undefined : `it is known to be complete up to ${mark} of ${log.lastSeq}`;
  }

  #subscribed({ eventId, payload }: ModelMessage): void {
    const { log, subject, start } = this.#options;
    const { recovery, reason } = payload as { recovery: string; reason?: GapReason };
    const running = this.#place !== undefined || this.#misled !== undefined;
    const fault = running ? this.#whyNotAgain(recovery, reason, eventId) : this.#whyNot(recovery, reason, eventId);
    if (fault !== undefined) this.#refute(`subscribed ${recovery} ${reason ?? ""} ${eventId}: ${fault}`);
    if (this.#misled !== undefined && reason !== "reset") return;
    const place = this.#named("subscribed", eventId);
    if (place === undefined) return;
    this.#misled = undefined;
    const wish = recovery === "gap" ? "all" : running || start.kind === "after" ? undefined : wishOf(start);
    if (wish !== undefined && place.life === log.life) {
      const wrong = startFault(log, subject, place, wish, this.#since);
      if (wrong !== undefined) this.#refute(`subscribed ${recovery} ${reason ?? ""} ${eventId}: ${wrong}`);
      this.#excused = { life: log.life, before: log.life.firstSeq };
    }
    this.#place = place;
    this.#caughtUpDue = true;
  }

  /** What a first `subscribed` says has to be true of the start that was asked for. */
  #whyNot(recovery: string, reason: GapReason | undefined, eventId: string): string | undefined {
    const { start } = this.#options;
    if (start.kind !== "after") return recovery === "fresh" ? undefined : "nothing was resumed";
    const outcome = reason ?? (recovery as Outcome);
    // Stored between two looks at the log: nothing stood there, and then it was no place beyond the end.
    if (outcome === "expired" && this.#outcomes.has("unknown") && this.#outcomes.has("rewritten")) return undefined;
    if (!this.#outcomes.has(outcome)) return `after ${start.eventId} it can only be ${[...this.#outcomes].join(", ")}`;
    return outcome === "complete" && eventId !== start.eventId ? `it was to go on after ${start.eventId}` : undefined;
  }

  /** A further one has to be true of the place where the reader stood [RESUME-6]. */
  #whyNotAgain(recovery: string, reason: GapReason | undefined, eventId: string): string | undefined {
    const place = this.#place;
    const { log, subject } = this.#options;
    if (this.#misled !== undefined || place === undefined)
      return reason === "reset" ? undefined : "the stream was made anew";
    if (recovery === "complete") {
      // Its channel has to look again when the log lost something, though not where this reader stands.
      if (!log.hasLost) return "nothing was ever lost";
      return void this.#standsAt("subscribed", eventId);
    }
    if (recovery !== "gap" || reason === undefined) return "it was a running subscription";
    return gapFault(log, subject, reason, place, this.#claimed);
  }

  #event({ eventId, payload }: ModelMessage): void {
    const { log, subject, heard } = this.#options;
    const event = log.event(Number.parseInt(payload as string, 10));
    if (event === undefined) return this.#complain(`nobody stored ${eventId}`);
    if (event.record.subject !== subject) return this.#complain(`${eventId} is another channel's`);
    if (this.#misled !== undefined) return;
    if (eventId !== idOf(event)) {
      if (heard().epoch === log.life.epoch) this.#complain(`${eventId} came, and it is ${idOf(event)}`);
      else this.#misled = `${eventId}, which is ${idOf(event)}`;
      return;
    }
    const place = placeOf(event);
    const found = this.#between(place);
    const owed = found?.slice(0, -1).filter((each) => this.#isOwed(each)) ?? [];
    if (found === undefined) this.#complain(`${eventId} came, and what came before it is lost: ${this.#where()}`);
    else if (found.at(-1) !== event) this.#complain(`${eventId} came again after ${this.#where()}`);
    else if (owed.length > 0) this.#complain(`${eventId} came, and ${said(owed)} was due`);
    this.#place = place;
  }

  #caughtUp(eventId: string): void {
    if (!this.#caughtUpDue && this.#misled === undefined) this.#complain("caught_up came twice");
    this.#caughtUpDue = false;
    this.#everCaughtUp = true;
    this.#standsAt("caught_up", eventId);
  }

  /** A position that was named as the one that was reached: nothing lies between it and what was sent last. */
  #standsAt(what: string, eventId: string): void {
    if (this.#misled !== undefined || this.#place === undefined) return;
    const { log, subject } = this.#options;
    const place = this.#named(what, eventId);
    if (place === undefined) return;
    const missing = this.#missing(place);
    if (missing === undefined) return this.#refute(`${what} ${eventId} is a place of another log`);
    if (missing.length > 0) return this.#refute(`${what} ${eventId} although ${said(missing)} was not sent`);
    const again = log.between(subject, place, this.#place);
    if (again === undefined || again.length > 0) this.#refute(`${what} ${eventId} is before ${this.#where()}`);
  }

  /** What lies between the place where the reader stands and `to`, and is owed. */
  #missing(to: Place): ModelEvent[] | undefined {
    return this.#between(to)?.filter((event) => this.#isOwed(event));
  }

  #between(to: Place): ModelEvent[] | undefined {
    const { log, subject } = this.#options;
    const place = this.#place as Place;
    const between = log.between(subject, place, to);
    if (between !== undefined || place.life !== log.life || !isLost(place) || place.seq >= log.life.firstSeq)
      return between;
    // Lost, its sequence handed out again, and that one trimmed: nothing is left that could tell it from the first
    // (docs/delivery.md). What still exists is owed all the same.
    const { firstSeq } = log.life;
    return log
      .between(subject, { ...log.end(), seq: firstSeq - 1 }, to)
      ?.filter(({ record }) => record.seq >= firstSeq);
  }

  #isOwed({ record }: ModelEvent): boolean {
    return record.life !== this.#excused?.life || record.seq >= this.#excused.before;
  }

  #named(what: string, eventId: string): Place | undefined {
    const place = this.#options.log.place(eventId);
    if (place === undefined) this.#refute(`${what} ${eventId} names nothing that ever was`);
    return place;
  }

  /** Something wrong was said; it is no fault while the channel has not heard that the stream was made anew. */
  #refute(what: string): void {
    const { log, subscription } = this.#options;
    if (subscription.channel.epoch === log.life.epoch) this.#complain(what);
    else this.#misled = what;
  }

  #complain(what: string): void {
    this.#options.complain(what);
  }

  #where(): string {
    return this.#place === undefined ? "nowhere" : nameOf(this.#place);
  }
}

function said(events: readonly ModelEvent[]): string {
  return events.map(idOf).join(", ");
}
