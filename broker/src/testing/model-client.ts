import { NO_POSITION } from "@kata/protocol/wire";
import type { Framing } from "../delivery/framing.ts";
import { ORIGIN, positionId } from "../delivery/position.ts";
import type { Subscription } from "../delivery/subscription.ts";
import type { DeliveryRig } from "./delivery-rig.ts";
import type { ModelLog } from "./model-log.ts";
import { ModelPositions } from "./model-positions.ts";
import { type ModelMessage, ModelSocket } from "./model-socket.ts";
import type { ClientStart } from "./model-start.ts";
import { Watch } from "./model-watch.ts";

export interface ModelChannel {
  readonly name: string;
  readonly subject: string;
}

export interface ModelClientOptions {
  readonly name: string;
  readonly framing: Framing;
  readonly rig: DeliveryRig;
  readonly log: ModelLog;
  readonly complain: (what: string) => void;
}

interface Open {
  readonly subscription: Subscription;
  readonly watch: Watch;
}

/** An application: one connection at a time, and what it remembers from one to the next. */
export class ModelClient {
  readonly #options: ModelClientOptions;
  readonly #open = new Map<string, Open>();
  readonly #positions = new ModelPositions();
  #socket: ModelSocket | undefined;
  /** What it was sent, in order; for people. */
  readonly story: string[] = [];

  constructor(options: ModelClientOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get subscriptions(): readonly Open[] {
    return [...this.#open.values()];
  }

  get socket(): ModelSocket | undefined {
    return this.#socket;
  }

  /** The channels that it has read from, now or before. */
  get channels(): readonly string[] {
    return [...new Set([...this.#positions.channels, ...this.#open.keys()])];
  }

  position(channel: string): string | undefined {
    return this.#positions.get(channel);
  }

  subscribe({ name, subject }: ModelChannel, start: ClientStart): void {
    if (this.#open.has(name)) return;
    this.#socket ??= this.#connect();
    const { rig, log, framing, complain, name: who } = this.#options;
    const subscription = rig.delivery.subscribe({
      channel: name,
      subject,
      reader: this.#socket,
      framing,
      onDefect: (error) => rig.defects.push(error),
    });
    this.story.push(`> ${name} ${JSON.stringify(start)}`);
    const watch = new Watch({
      log,
      subject,
      start,
      subscription,
      heard: () => rig.log,
      complain: (what) => complain(`${who}, ${name}: ${what}`),
    });
    this.#open.set(name, { subscription, watch });
    subscription.start(start, undefined);
  }

  unsubscribe(channel: string): void {
    const open = this.#open.get(channel);
    if (open === undefined) return;
    this.#open.delete(channel);
    this.#positions.left(channel);
    const eventId = this.#options.rig.delivery.end(open.subscription);
    open.watch.ended(eventId);
    // [ENVELOPE-4] A subscription that was never answered has no position.
    this.#socket?.say({ type: "unsubscribed", channel, eventId: eventId ?? NO_POSITION, payload: {} }, 150);
  }

  /** The connection breaks: what it has not read is lost. */
  leave(): void {
    this.#socket?.close();
    this.#socket = undefined;
    for (const { subscription } of this.#open.values()) this.#options.rig.delivery.end(subscription);
    this.#open.clear();
    this.#positions.disconnected();
    this.story.push("> leaves");
  }

  /** [PING-1] As server/session.ts does it. */
  ping(): void {
    if (this.#socket === undefined) return;
    this.#positions.pinged();
    const nowhere = { epoch: "", position: ORIGIN };
    const places = this.subscriptions.flatMap(({ subscription }) => subscription.sentUpTo ?? []);
    const oldest = places.reduce((a, b) => (b.position.seq < a.position.seq ? b : a), places[0] ?? nowhere);
    const known = oldest.position.seq > 0 && places.every(({ epoch }) => epoch === oldest.epoch);
    const eventId = known ? positionId(oldest.epoch, oldest.position) : NO_POSITION;
    this.#socket.say({ type: "pong", eventId, payload: {} }, 120);
  }

  #connect(): ModelSocket {
    return new ModelSocket({
      topics: this.#options.rig.topics,
      onSent: (message) => this.#sent(message),
      onReceived: (message) => this.#positions.received(message),
      onDrained: () => {
        for (const { subscription } of this.subscriptions) subscription.drained();
      },
    });
  }

  #sent(message: ModelMessage): void {
    const { type, channel = "", eventId, payload } = message;
    const { recovery = "", reason = "" } = payload as { recovery?: string; reason?: string };
    this.story.push([channel, type, recovery, reason, eventId].filter((each) => each !== "").join(" "));
    if (type === "unsubscribed") return;
    if (type !== "pong") {
      const open = this.#open.get(channel);
      if (open === undefined) this.#options.complain(`${this.#options.name}: ${type} of ${channel}, not subscribed`);
      else open.watch.receive(message);
    } else if (eventId !== NO_POSITION) {
      for (const { watch } of this.subscriptions) watch.pong(eventId);
    }
  }
}
