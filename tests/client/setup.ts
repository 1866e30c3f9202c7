import { createPublisher, type Publisher } from "@kata/publisher";
import { createRealtimeClient, type RealtimeClient, type RealtimeClientOptions } from "@kata/realtime-client";
import { onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { startBroker, type TestBroker, type TestBrokerOptions } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";

export interface Setup extends AsyncDisposable {
  readonly nats: TestNats;
  readonly broker: TestBroker;
  readonly publisher: Publisher;
}

/** NATS, a broker and a publisher of its team. */
export async function startAll(
  config: TestBrokerOptions["config"] = {},
  adapters: Pick<TestBrokerOptions, "sessions"> = {},
): Promise<Setup> {
  const nats = await startNats();
  const broker = await startBroker({ nats, config, ...adapters });
  const publisher = await createPublisher({ servers: nats.url, teamId: broker.teamId });
  return {
    nats,
    broker,
    publisher,
    async [Symbol.asyncDispose]() {
      await publisher.close();
      await broker.close();
      await nats[Symbol.asyncDispose]();
    },
  };
}

/** A client that is closed when the test ends; it comes back quickly. */
export function clientOf(broker: TestBroker, options: Partial<RealtimeClientOptions> = {}): RealtimeClient {
  const backoff = { minMs: 20, maxMs: 200 };
  const client = createRealtimeClient({ url: broker.httpUrl, apiKey: broker.apiKey, WebSocket, backoff, ...options });
  onTestFinished(() => client.close());
  return client;
}

export interface Handed {
  /** The events' messages, in the order in which they were handed over; `gap: reason` where one was told. */
  readonly log: string[];
  readonly eventIds: string[];
  /** Resolves when so many entries are there. */
  reaches(count: number): Promise<void>;
}

/** Collects what the application is handed of a channel; call the returned `handler` from `subscribe`. */
export function collect(client: RealtimeClient, channel: string, options = {}): Handed {
  const log: string[] = [];
  const eventIds: string[] = [];
  let wanted = Number.POSITIVE_INFINITY;
  let reached: () => void = () => {};
  const add = (entry: string): void => {
    log.push(entry);
    if (log.length >= wanted) reached();
  };
  client.on("gap", (gap) => {
    if (gap.channel === channel) add(`gap: ${gap.reason}`);
  });
  client.subscribe(
    channel,
    (event) => {
      eventIds.push(event.eventId);
      add((event.payload as { message: string }).message);
    },
    options,
  );
  return {
    log,
    eventIds,
    reaches: (count) =>
      new Promise((resolve) => {
        wanted = count;
        reached = resolve;
        if (log.length >= count) resolve();
      }),
  };
}

/** Resolves once the channel is caught up, at once if it is. */
export function caughtUp(client: RealtimeClient, channel: string): Promise<void> {
  return new Promise((resolve) => {
    const off = client.on("subscription", (change) => {
      if (change.channel !== channel || change.status !== "caught_up") return;
      off();
      resolve();
    });
  });
}

export function entry(message: string): { type: "log_entry"; payload: { message: string } } {
  return { type: "log_entry", payload: { message } };
}

/** "1" … "count", from `first`. */
export function numbers(count: number, first = 1): string[] {
  return Array.from({ length: count }, (_, i) => String(first + i));
}

/** A channel that no other test uses. */
export function freshChannel(): string {
  return `agent:${crypto.randomUUID()}`;
}
