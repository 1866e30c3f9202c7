import type { ErrorPayload, InboundCommand } from "@kata/protocol/wire";
import { type Backoff, backoffDelay } from "./backoff.ts";
import type { Cancel, Clock } from "./clock.ts";
import type { Incoming } from "./decode.ts";
import { type LinkInput, type LinkStep, NEXT_LINK } from "./link-state.ts";
import { confirm, handOver, positionAt } from "./position.ts";
import type { Subscription, Why } from "./subscription.ts";
import type { Gap, SubscriptionStatus } from "./subscription-change.ts";
import type { Telling } from "./telling.ts";

export interface LinkPorts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly backoff: Backoff;
  readonly telling: Telling;
  /** Whether commands can be sent. */
  online(): boolean;
  nextId(): number;
  send(command: InboundCommand): void;
}

type Subscribed = Extract<Incoming, { kind: "subscribed" }>;
type Event = Extract<Incoming, { kind: "event" }>;

/** One channel: keeps what the broker holds for us (`step`) in line with what the application wants (`subscription`). */
export class Link {
  readonly channel: string;
  readonly #ports: LinkPorts;
  #step: LinkStep = "idle";
  #subscription: Subscription | undefined;
  /** Of the command under way. */
  #commandId: number | undefined;
  /** Of a subscribe that was left before it was answered; its answer means nothing any more. */
  #abandonedId: number | undefined;
  #refusals = 0;
  #timer: Cancel = () => {};
  /** Counts `subscribed` messages: a pong speaks only of the subscription that was running when it was asked for. */
  #generation = 0;

  constructor(channel: string, ports: LinkPorts) {
    this.channel = channel;
    this.#ports = ports;
  }

  get subscription(): Subscription | undefined {
    return this.#subscription;
  }

  /** Whether nothing is left to do or to remember. */
  get unused(): boolean {
    return this.#step === "idle" && this.#subscription === undefined;
  }

  /** Whether events that arrive are this subscription's. */
  get #running(): boolean {
    return this.#step === "replaying" || this.#step === "live";
  }

  /** The application wants the channel (again). */
  want(subscription: Subscription): void {
    this.#subscription = subscription;
    this.#become("subscribing", { code: "subscribe", reason: "subscribe() was called" });
    this.#ask();
  }

  /** The application wants it no more. */
  leave(): void {
    this.#end("unsubscribe");
    this.#subscription = undefined;
    this.#apply("leave");
  }

  /** The client is closed, and the connection with it. The position stays readable. */
  close(): void {
    this.#end("close");
  }

  online(): void {
    this.#ask();
  }

  offline(): void {
    this.#apply("offline");
    const subscription = this.#subscription;
    if (subscription?.status === "subscribed" || subscription?.status === "caught_up") {
      this.#become("subscribing", { code: "disconnected", reason: "the connection is gone" });
    }
  }

  subscribed(message: Subscribed): void {
    if (this.#step === "subscribing" && message.id !== this.#commandId) return;
    const again = this.#running;
    this.#apply("subscribed");
    if (!this.#running) return;
    this.#generation++;
    this.#stand(message, again);
  }

  caughtUp(): void {
    if (this.#step !== "replaying") return;
    this.#apply("caught_up");
    // Not at `subscribed`: what fails again and again on the way there is not asked for at full speed.
    this.#refusals = 0;
    this.#become("caught_up", { code: "caught_up", reason: "replay has ended" });
  }

  unsubscribed(): void {
    const unasked = this.#running;
    this.#apply("unsubscribed");
    if (unasked) this.#pause("ended", "the broker ended the subscription");
  }

  event({ event, at }: Event): void {
    const subscription = this.#subscription;
    if (subscription === undefined || !this.#running) return;
    const position = handOver(subscription.position, event.eventId, at);
    if (position === undefined) return this.#ports.telling.repeat();
    // Before the handler runs: inside it, the position is the event's own.
    subscription.position = position;
    this.#ports.telling.event(subscription, event);
  }

  /**
   * Whether `error` is about this channel: it answers its command, or it names it without an id (every command of this
   * SDK has one) because the broker could not go on with it.
   */
  refusedBy(error: ErrorPayload): boolean {
    const answer = error.id !== undefined && error.id === this.#commandId;
    if (this.#step === "leaving") {
      if (answer) this.#apply(error.retryable ? "retryable" : "refused");
      return answer || this.#isAbandoned(error);
    }
    const held = this.#step === "subscribing" || this.#running;
    if (!held || !(answer || this.#isAbout(error))) return false;
    if (!error.retryable) this.#fail(error);
    this.#apply(error.retryable ? "retryable" : "refused");
    if (this.#step === "pausing") this.#pause("retry", error.message, error);
    return true;
  }

  #isAbout(error: ErrorPayload): boolean {
    return error.id === undefined && error.channel === this.channel;
  }

  #isAbandoned(error: ErrorPayload): boolean {
    return this.#isAbout(error) || (error.id !== undefined && error.id === this.#abandonedId);
  }

  /** @returns what to do with the pong that answers a ping sent now; undefined if the pong says nothing about this channel ([PING-1]) */
  confirmer(): ((eventId: string) => void) | undefined {
    if (this.#step !== "live") return undefined;
    const generation = this.#generation;
    return (eventId) => {
      const subscription = this.#subscription;
      if (this.#step !== "live" || this.#generation !== generation || subscription === undefined) return;
      subscription.position = confirm(subscription.position, eventId);
    };
  }

  #end(code: "unsubscribe" | "close"): void {
    if (this.#subscription?.wanted) this.#become("unsubscribed", { code, reason: `${code}() was called` });
    this.#subscription?.remove();
  }

  #apply(input: LinkInput): void {
    const before = this.#step;
    const after = NEXT_LINK[before][input];
    this.#step = after;
    if (after === before) return;
    this.#timer();
    this.#abandonedId = after === "leaving" ? this.#commandId : undefined;
    this.#commandId = undefined;
    if (after === "leaving") this.#command((id) => ({ type: "unsubscribe", channel: this.channel, id }));
    if (after === "idle") this.#ask();
  }

  #ask(): void {
    const subscription = this.#subscription;
    if (this.#step !== "idle" || !subscription?.wanted || !this.#ports.online()) return;
    this.#apply("ask");
    const { rewind } = subscription;
    const { resume } = subscription.position;
    this.#command((id) => ({
      type: "subscribe",
      channel: this.channel,
      // Once there is a position it counts, and a rewind that was cut off goes on from there.
      ...(resume === undefined ? (rewind === undefined ? {} : { rewind }) : { lastEventId: resume }),
      id,
    }));
  }

  #command(make: (id: number) => InboundCommand): void {
    this.#commandId = this.#ports.nextId();
    this.#ports.send(make(this.#commandId));
  }

  #stand(message: Subscribed, again: boolean): void {
    const subscription = this.#subscription;
    if (subscription === undefined) return;
    const from = subscription.position.resume;
    const { channel, eventId, reason } = message;
    // A broker that starts afresh where it was given a position has skipped history: that is a gap, whatever it calls it.
    const recovery = message.recovery === "fresh" && from !== undefined ? "gap" : message.recovery;
    // [RESUME-1] A complete recovery starts where we stand; [RESUME-5] after a gap it is wherever the broker says.
    subscription.position = positionAt(eventId);
    const gap: Gap | undefined = recovery === "gap" ? { channel, reason, from, to: eventId } : undefined;
    this.#become("subscribed", {
      code: again ? "relocated" : "subscribed",
      reason: gap === undefined ? "the broker answered" : `history is gone: ${reason}`,
      recovery,
      ...(gap === undefined ? {} : { gap }),
    });
    if (gap !== undefined) this.#ports.telling.gap(gap);
  }

  #pause(code: "retry" | "ended", reason: string, error?: ErrorPayload): void {
    const retryInMs = backoffDelay(this.#refusals++, this.#ports.backoff, this.#ports.random);
    this.#timer = this.#ports.clock.after(retryInMs, () => this.#apply("due"));
    this.#become("subscribing", { code, reason, retryInMs, ...(error === undefined ? {} : { error }) });
  }

  #fail(error: ErrorPayload): void {
    this.#become("failed", { code: "refused", reason: error.message, error });
    this.#ports.telling.failed(this.channel, error);
  }

  #become(status: SubscriptionStatus, why: Why): void {
    const subscription = this.#subscription;
    if (subscription !== undefined) this.#ports.telling.status(subscription, subscription.become(status, why));
  }
}
