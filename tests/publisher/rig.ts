import { createPublisher, type Publisher, type PublisherOptions, type PublishResult } from "@kata/publisher";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { startNats, type TestNats } from "../support/nats.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { ensureTestStream, type LogRecord } from "../support/stream.ts";

export const TEAM = "t1";

/** A nats-server with the stream, a connection of the test's own, and a proxy between NATS and the publishers under test. */
export interface Rig extends AsyncDisposable {
  readonly nats: TestNats;
  /** The test's own connection, not through the proxy. */
  readonly nc: NatsConnection;
  readonly proxy: TestProxy;
  /** A publisher through the proxy, with short timeouts; closed with the rig. */
  publisher(options?: Partial<PublisherOptions>): Promise<Publisher>;
  /** Every message that NATS takes on a channel's subject, repeated attempts included. */
  readonly seen: readonly SeenMessage[];
}

export interface SeenMessage {
  readonly subject: string;
  readonly messageId: string;
  readonly data: string;
}

export async function createRig(
  options: { stream?: Parameters<typeof ensureTestStream>[1] | false } = {},
): Promise<Rig> {
  const nats = await startNats();
  const nc = await connect({ servers: nats.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  const proxy = await startProxy({ port: nats.port });
  const publishers: Publisher[] = [];
  const seen: SeenMessage[] = [];
  nc.subscribe("kata.team.>", {
    callback: (_, msg) => {
      seen.push({ subject: msg.subject, messageId: msg.headers?.get("Nats-Msg-Id") ?? "", data: msg.string() });
    },
  });
  if (options.stream !== false) await ensureTestStream(nc, options.stream);
  return {
    nats,
    nc,
    proxy,
    seen,
    publisher: async (more = {}) => {
      const publisher = await createPublisher({
        ...(more.connection === undefined ? { servers: `127.0.0.1:${proxy.port}` } : {}),
        teamId: TEAM,
        ackTimeoutMs: 500,
        closeTimeoutMs: 1_000,
        ...more,
      });
      publishers.push(publisher);
      return publisher;
    },
    [Symbol.asyncDispose]: async () => {
      nats.resume();
      // What a test left unsettled on purpose is rejected here.
      await Promise.allSettled(publishers.map((publisher) => publisher.close()));
      await nc.close();
      await proxy[Symbol.asyncDispose]();
      await nats[Symbol.asyncDispose]();
    },
  };
}

export interface Load {
  /** Results by the event's number. */
  readonly results: readonly (PublishResult | undefined)[];
  readonly settled: number;
  readonly done: Promise<void>;
}

/** Publishes events {i} with i from 0 to `count` - 1 on the channel, with at most `window` unsettled. */
export function startLoad(publisher: Publisher, channel: string, count: number, window: number): Load {
  const results: (PublishResult | undefined)[] = new Array(count).fill(undefined);
  let next = 0;
  let settled = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const i = next++;
      results[i] = await publisher.publish(channel, { type: "log_entry", payload: { message: "m", i } });
      settled++;
    }
  };
  const workers = Array.from({ length: window }, worker);
  return {
    results,
    get settled() {
      return settled;
    },
    done: Promise.all(workers).then(() => undefined),
  };
}

/** The payloads' `i` of all lines, in log order. */
export function numbersOf(records: readonly LogRecord[]): number[] {
  return records.flatMap((record) =>
    record.lines.map((line) => (JSON.parse(line) as { payload: { i: number } }).payload.i),
  );
}

export function eventIdsOf(records: readonly LogRecord[]): string[] {
  return records.flatMap((record) => record.eventIds);
}

export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** The message ids that NATS saw more than once. */
export function repeatedIds(seen: readonly SeenMessage[]): string[] {
  const counts = new Map<string, number>();
  for (const { messageId } of seen) counts.set(messageId, (counts.get(messageId) ?? 0) + 1);
  return [...counts].filter(([, count]) => count > 1).map(([id]) => id);
}
