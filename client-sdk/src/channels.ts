import type { InboundCommand } from "@kata/protocol/wire";
import type { Incoming } from "./decode.ts";
import { RealtimeError } from "./errors.ts";
import { Link, type LinkPorts } from "./link.ts";
import { type EventHandler, type Registration, type SubscribeOptions, Subscription } from "./subscription.ts";

interface Ping {
  readonly id: number;
  readonly confirmers: readonly ((eventId: string) => void)[];
}

/** All channels of a client: who gets which message. */
export class Channels {
  readonly #ports: LinkPorts;
  readonly #links = new Map<string, Link>();
  /** The oldest ping without an answer. */
  #ping: Ping | undefined;

  constructor(ports: LinkPorts) {
    this.#ports = ports;
  }

  get(channel: string): Subscription | undefined {
    return this.#links.get(channel)?.subscription;
  }

  /** @throws TypeError if the channel has a subscription and the options would give it another start */
  subscribe(channel: string, handler: EventHandler, options: SubscribeOptions): [Subscription, Registration] {
    let link = this.#links.get(channel);
    const running = link?.subscription;
    if (running?.wanted) {
      if (options.lastEventId !== undefined || options.rewind !== undefined) {
        throw new TypeError(
          `${channel} is subscribed already: lastEventId and rewind count for its first handler only`,
        );
      }
      const known = running.find(handler);
      if (known !== undefined) return [running, known];
      return [running, register(running, handler, options)];
    }
    if (link === undefined) {
      link = new Link(channel, this.#ports);
      this.#links.set(channel, link);
    }
    const subscription = new Subscription(channel, options);
    link.want(subscription);
    return [subscription, register(subscription, handler, options)];
  }

  /** Takes one handler back, or all; the last one ends the subscription. */
  unsubscribe(subscription: Subscription, registration?: Registration): void {
    const link = this.#links.get(subscription.channel);
    if (link?.subscription !== subscription) return;
    const others = subscription.registrations.some((one) => one !== registration);
    if (registration !== undefined && others) subscription.remove(registration);
    else link.leave();
    this.#forget(link);
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
  }

  online(): void {
    for (const link of [...this.#links.values()]) link.online();
  }

  offline(): void {
    this.#ping = undefined;
    for (const link of [...this.#links.values()]) {
      link.offline();
      this.#forget(link);
    }
  }

  ping(): InboundCommand {
    const id = this.#ports.nextId();
    if (this.#ping === undefined) {
      const confirmers = [...this.#links.values()].map((link) => link.confirmer()).filter((one) => one !== undefined);
      this.#ping = { id, confirmers };
    }
    return { type: "ping", id };
  }

  receive(message: Incoming): void {
    switch (message.kind) {
      case "event":
        return this.#links.get(message.channel)?.event(message);
      case "subscribed":
        return this.#links.get(message.channel)?.subscribed(message);
      case "caught_up":
        return this.#links.get(message.channel)?.caughtUp();
      case "unsubscribed": {
        const link = this.#links.get(message.channel);
        link?.unsubscribed();
        return this.#forget(link);
      }
      case "pong":
        return this.#pong(message.eventId, message.id);
      case "error":
        return this.#error(message);
      case "authenticated":
      case "reconnect":
        return;
    }
  }

  #pong(eventId: string, id: string | number | undefined): void {
    if (id !== this.#ping?.id) return;
    const confirmers = this.#ping?.confirmers ?? [];
    this.#ping = undefined;
    for (const confirmed of confirmers) confirmed(eventId);
  }

  #error({ error }: Extract<Incoming, { kind: "error" }>): void {
    for (const link of this.#links.values()) {
      if (link.refusedBy(error)) return this.#forget(link);
    }
    this.#ports.telling.error(
      new RealtimeError("server_error", error.message, { detail: error, channel: error.channel }),
    );
  }

  #forget(link: Link | undefined): void {
    if (link?.unused) this.#links.delete(link.channel);
  }
}

function register(subscription: Subscription, handler: EventHandler, options: SubscribeOptions): Registration {
  const registration: Registration = { handler, onStatus: options.onStatus, active: true };
  subscription.add(registration);
  return registration;
}
