import { createClient, type RealtimeClient } from "../client.ts";
import type { ConnectionChange } from "../connection-change.ts";
import type { RealtimeError } from "../errors.ts";
import { type RealtimeClientOptions, settingsOf } from "../options.ts";
import type { SubscriptionChange } from "../subscription-change.ts";
import { createFakeClock, type FakeClock } from "./fake-clock.ts";
import { at, caughtUp, pong, subscribed } from "./messages.ts";
import { createScript, type Script } from "./script.ts";

export const KEY = "kat_live_k1_s3cr3t";

export interface Harness {
  readonly client: RealtimeClient;
  readonly clock: FakeClock;
  readonly script: Script;
  readonly states: ConnectionChange[];
  readonly statuses: SubscriptionChange[];
  readonly errors: RealtimeError[];
  /** connect(), open the socket, answer the first ping. */
  connect(): void;
  /** Open the newest socket and answer its first ping. */
  accept(): void;
  /** Answer the channel's last subscribe; `complete` at the given position if it named one, `fresh` at `start` if not. */
  grant(channel: string, start?: string): void;
  /** grant() and caught_up. */
  live(channel: string, start?: string): void;
}

/** A client on a scripted socket and a clock that stands still; `random` is 0.5 unless said. */
export function createHarness(options: Partial<RealtimeClientOptions> = {}): Harness {
  const clock = createFakeClock();
  const script = createScript();
  const settings = settingsOf({ url: "ws://broker.test", apiKey: KEY, ...options });
  const random = options.random ?? (() => 0.5);
  const client = createClient(settings, { clock, random, openSocket: script.openSocket });
  const states: ConnectionChange[] = [];
  const statuses: SubscriptionChange[] = [];
  const errors: RealtimeError[] = [];
  client.on("state", (change) => states.push(change));
  client.on("subscription", (change) => statuses.push(change));
  client.on("error", (error) => errors.push(error));

  const harness: Harness = {
    client,
    clock,
    script,
    states,
    statuses,
    errors,
    connect() {
      void client.connect();
      harness.accept();
    },
    accept() {
      const { socket } = script;
      socket.open();
      socket.say(pong("0-0-0000", socket.last("ping").id));
    },
    grant(channel, start = at(0)) {
      const command = script.socket.last("subscribe", channel);
      const from = "lastEventId" in command ? command.lastEventId : undefined;
      const recovery = from === undefined ? "fresh" : "complete";
      script.socket.say(subscribed(channel, from ?? start, { recovery, id: command.id }));
    },
    live(channel, start) {
      harness.grant(channel, start);
      script.socket.say(caughtUp(channel, at(0)));
    },
  };
  return harness;
}
