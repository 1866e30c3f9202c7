import type { AnyEvents, EventMap } from "@kata/protocol/wire";
import { Channels } from "./channels.ts";
import { type Clock, hostClock } from "./clock.ts";
import { Connection } from "./connection.ts";
import type { ConnectionStatus } from "./connection-state.ts";
import { Dispatcher } from "./dispatcher.ts";
import { RealtimeError } from "./errors.ts";
import { type RealtimeClientOptions, type Settings, settingsOf } from "./options.ts";
import { hostWebSocket, type OpenSocket, openerOf } from "./socket.ts";
import type { EventHandler, SubscribeOptions } from "./subscription.ts";
import type { SubscriptionStatus } from "./subscription-change.ts";
import { type ClientEvents, type ClientStats, Telling } from "./telling.ts";

/** One handler of one channel. */
export interface SubscriptionHandle {
  readonly channel: string;
  readonly status: SubscriptionStatus;
  /** What to give as `lastEventId` to go on from here; readable after it has ended, too. */
  readonly position: string | undefined;
  /** Takes the handler back: it is never called again. */
  unsubscribe(): void;
}

/** A client of a Kata broker. Nothing that it returns or tells contains the credentials. */
export interface RealtimeClient {
  readonly status: ConnectionStatus;
  readonly stats: ClientStats;
  /**
   * Connects, and goes on connecting whenever the connection is lost. Calling it again is harmless.
   *
   * @returns resolves once the broker has answered; may be left alone, nothing goes unhandled
   * @throws RealtimeError `refused` if the broker refuses for good, `closed` if close() comes first
   */
  connect(): Promise<void>;
  /**
   * Ends the client: no handler is called after it returns, and nothing keeps the process alive. Idempotent and final;
   * positions stay readable.
   */
  close(): void;
  /**
   * Hands every event of the channel to `handler`: from now on, or from where the options say. Needs no connection yet.
   * The position moves when an event is handed over, before the handler is called, and whether or not it throws. A
   * further handler of the same channel joins wherever the channel stands; the same handler again changes nothing. With the
   * application's own events as type argument, the handler's event has their types and payloads; nothing is checked.
   *
   * @throws TypeError for arguments that cannot work, and for a start (`lastEventId`, `rewind`) that is not the channel's first
   * @throws RealtimeError `closed` after close()
   */
  subscribe<E extends EventMap = AnyEvents>(
    channel: string,
    handler: EventHandler<E>,
    options?: SubscribeOptions,
  ): SubscriptionHandle;
  /** Takes one handler back, or all of the channel; they are never called again. What is not subscribed is let be. */
  unsubscribe<E extends EventMap = AnyEvents>(channel: string, handler?: EventHandler<E>): void;
  /** The eventId that a later `subscribe` can resume the channel from; undefined if it is not subscribed or nothing is known yet. */
  position(channel: string): string | undefined;
  /** @returns takes the listener back */
  on<K extends keyof ClientEvents>(name: K, listener: (value: ClientEvents[K]) => void): () => void;
}

/** Where the outside world comes in. */
export interface ClientPorts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly openSocket: OpenSocket;
}

/**
 * Creates a client; it connects when `connect()` is called.
 *
 * @throws TypeError for options that cannot work, or if this host has no WebSocket and none is given
 */
export function createRealtimeClient(options: RealtimeClientOptions): RealtimeClient {
  const settings = settingsOf(options);
  const WebSocket = options.WebSocket ?? hostWebSocket();
  if (WebSocket === undefined) {
    throw new TypeError('this host has no WebSocket: pass one, e.g. { WebSocket } of the package "ws"');
  }
  return createClient(settings, {
    clock: options.clock ?? hostClock,
    random: options.random ?? Math.random,
    openSocket: openerOf(WebSocket),
  });
}

/** Wires a client together. */
export function createClient(settings: Settings, ports: ClientPorts): RealtimeClient {
  const { clock, random, openSocket } = ports;
  const dispatcher = new Dispatcher();
  const batch = <T>(work: () => T): T => dispatcher.batch(work);
  const telling = new Telling(dispatcher, clock);
  let lastId = 0;

  const channels = new Channels({
    clock: { after: (ms, run) => clock.after(ms, () => batch(run)) },
    random,
    backoff: settings.backoff,
    telling,
    online: () => connection.open,
    nextId: () => ++lastId,
    send: (command) => connection.send(command),
  });
  const connection: Connection = new Connection(
    settings,
    { clock, random, openSocket, batch, tell: (task) => dispatcher.tell(task) },
    {
      changed: (change) => telling.state(change),
      opened: () => channels.online(),
      lost: () => channels.offline(),
      message: (message) => channels.receive(message),
      ping: () => channels.ping(),
      nextId: () => ++lastId,
      tokenFailed: (failure, detail) => telling.tokenFailed(failure, detail),
    },
  );

  return {
    get status() {
      return connection.status;
    },
    get stats() {
      return telling.stats;
    },
    connect() {
      const connected = new Promise<void>((resolve, reject) => {
        if (connection.status === "connected") return resolve();
        if (connection.status === "closed") return reject(closed());
        const off = telling.on("state", ({ status, reason, closeCode, error: detail }) => {
          if (status === "connecting") return;
          off();
          if (status === "connected") resolve();
          else if (status === "failed") reject(new RealtimeError("refused", reason, { closeCode, detail }));
          else reject(closed());
        });
      });
      // Whoever awaits it still gets the rejection; whoever does not is told by `state` and `error`.
      connected.catch(() => {});
      batch(() => connection.connect());
      return connected;
    },
    close() {
      batch(() => {
        channels.close();
        connection.close();
      });
    },
    subscribe(channel, handler, options = {}) {
      if (connection.status === "closed") throw closed();
      check(channel, handler, options);
      const [subscription, registration] = batch(() => channels.subscribe(channel, ofAnyEvent(handler), options));
      return {
        channel,
        get status() {
          return registration.active ? subscription.status : "unsubscribed";
        },
        get position() {
          return subscription.position.resume;
        },
        unsubscribe: () => batch(() => channels.unsubscribe(subscription, registration)),
      };
    },
    unsubscribe(channel, handler) {
      const subscription = channels.get(channel);
      if (subscription === undefined) return;
      const registration = handler === undefined ? undefined : subscription.find(ofAnyEvent(handler));
      if (handler !== undefined && registration === undefined) return;
      batch(() => channels.unsubscribe(subscription, registration));
    },
    position: (channel) => channels.get(channel)?.position.resume,
    on: (name, listener) => telling.on(name, listener),
  };
}

/** Which events a channel has is the application's word: inside, an event is any. */
function ofAnyEvent<E extends EventMap>(handler: EventHandler<E>): EventHandler {
  return handler as EventHandler;
}

function closed(): RealtimeError {
  return new RealtimeError("closed", "the client is closed");
}

function check(channel: unknown, handler: unknown, { lastEventId, rewind }: SubscribeOptions): void {
  if (typeof channel !== "string" || channel === "") throw new TypeError("channel must be a string, e.g. team:t1");
  if (typeof handler !== "function") throw new TypeError("handler must be a function");
  if (lastEventId !== undefined && rewind !== undefined) throw new TypeError("give lastEventId or rewind, not both");
  if (lastEventId !== undefined && typeof lastEventId !== "string") throw new TypeError("lastEventId must be a string");
}
