import type { ErrorPayload, KataEvent } from "@kata/protocol/wire";
import type { Clock } from "./clock.ts";
import type { ConnectionChange } from "./connection-change.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { RealtimeError } from "./errors.ts";
import { isPromise } from "./promise.ts";
import type { Subscription } from "./subscription.ts";
import type { Gap, SubscriptionChange } from "./subscription-change.ts";
import type { TokenFailure } from "./token-source.ts";

/** What `client.on` can listen to. */
export interface ClientEvents {
  /** Every step of the connection. */
  state: ConnectionChange;
  /** Every step of every channel's subscription. */
  subscription: SubscriptionChange;
  /** History that is gone, before the next event of the channel. */
  gap: Gap;
  /** What went wrong without ending the client. */
  error: RealtimeError;
}

export interface ClientStats {
  /** Connections on which the broker answered. */
  readonly connections: number;
  /** Events handed over. */
  readonly events: number;
  /** Events that arrived again and were not handed over again. */
  readonly repeats: number;
  readonly gaps: number;
}

type Listener<T> = (value: T) => void;
type Listeners = { readonly [K in keyof ClientEvents]: Set<Listener<ClientEvents[K]>> };

/** All that the application is told goes through here: in one order, and nothing it throws comes back in. */
export class Telling {
  readonly #dispatcher: Dispatcher;
  readonly #clock: Clock;
  readonly #listeners: Listeners = { state: new Set(), subscription: new Set(), gap: new Set(), error: new Set() };
  readonly #stats = { connections: 0, events: 0, repeats: 0, gaps: 0 };

  constructor(dispatcher: Dispatcher, clock: Clock) {
    this.#dispatcher = dispatcher;
    this.#clock = clock;
  }

  get stats(): ClientStats {
    return { ...this.#stats };
  }

  on<K extends keyof ClientEvents>(name: K, listener: Listener<ClientEvents[K]>): () => void {
    // Wrapped, so that a function that listens twice is called twice and taken back once.
    const own: Listener<ClientEvents[K]> = (value) => listener(value);
    this.#listeners[name].add(own);
    return () => {
      this.#listeners[name].delete(own);
    };
  }

  state(change: ConnectionChange): void {
    if (change.status === "connected") this.#stats.connections++;
    this.#emit("state", change);
    const { closeCode, error: detail, reason } = change;
    if (change.code === "protocol_error") this.error(new RealtimeError("protocol_error", reason));
    if (change.code === "refused") this.error(new RealtimeError("refused", reason, { closeCode, detail }));
  }

  status(subscription: Subscription, change: SubscriptionChange): void {
    const { registrations } = subscription;
    this.#dispatcher.tell(() => {
      for (const { onStatus } of registrations) {
        if (onStatus !== undefined) this.#guard(() => onStatus(change), change.channel);
      }
    });
    this.#emit("subscription", change);
  }

  event(subscription: Subscription, event: KataEvent): void {
    this.#stats.events++;
    this.#dispatcher.tell(() => {
      for (const registration of subscription.registrations) {
        if (registration.active) {
          this.#guard(() => registration.handler(event), subscription.channel, event.eventId);
        }
      }
    });
  }

  repeat(): void {
    this.#stats.repeats++;
  }

  gap(gap: Gap): void {
    this.#stats.gaps++;
    this.#emit("gap", gap);
  }

  failed(channel: string, detail: ErrorPayload): void {
    this.error(new RealtimeError("subscription_failed", `${channel}: ${detail.message}`, { channel, detail }));
  }

  tokenFailed({ reason, ...cause }: TokenFailure, detail?: ErrorPayload): void {
    this.error(new RealtimeError("token_failed", reason, { detail, ...cause }));
  }

  error(error: RealtimeError): void {
    this.#dispatcher.tell(() => {
      const listeners = [...this.#listeners.error];
      // As with any listener of any platform: what the application throws and nobody listens for is an uncaught error.
      if (listeners.length === 0 && error.code === "handler_failed") this.#throwLater(error.cause);
      for (const listener of listeners) {
        try {
          listener(error);
        } catch (thrown) {
          this.#throwLater(thrown);
        }
      }
    });
  }

  #emit<K extends "state" | "subscription" | "gap">(name: K, value: ClientEvents[K]): void {
    const listeners: Set<Listener<ClientEvents[K]>> = this.#listeners[name];
    this.#dispatcher.tell(() => {
      for (const listener of [...listeners]) {
        if (listeners.has(listener)) this.#guard(() => listener(value), undefined);
      }
    });
  }

  /** Calls the application; whatever it throws, others are told all the same. */
  #guard(call: () => unknown, channel: string | undefined, eventId?: string): void {
    const failed = (cause: unknown): void => {
      this.error(new RealtimeError("handler_failed", "a handler failed", { channel, eventId, cause }));
    };
    try {
      const result = call();
      if (isPromise(result)) result.then(undefined, failed);
    } catch (thrown) {
      failed(thrown);
    }
  }

  #throwLater(thrown: unknown): void {
    this.#clock.after(0, () => {
      throw thrown;
    });
  }
}
