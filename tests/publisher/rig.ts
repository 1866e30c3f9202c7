import { createDevelopmentAuth, resolvePrincipal } from "@kata/broker";
import { createPublisher, type Publisher, type PublisherOptions, type PublishResult } from "@kata/publisher";
import type { NatsConnection } from "@nats-io/transport-node";
import { serveNats } from "../../broker/src/callout/serve-nats.ts";
import { type InProcessBroker, startBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { brokerUrl, CALLOUT } from "../support/nats-secrets.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { ensureTestStream, type LogRecord } from "../support/stream.ts";

export const TEAM = "t1";
export const KEY = "kat_live_t1_0123456789abcdef";
const SECRET = new Uint8Array(32).fill(7);

/**
 * How publishers get to the log. Over NATS: as a user of the log's own account, or with an API key, for which a broker
 * vouches. Or over a broker's HTTP.
 */
export const WAYS = ["user", "key", "http"] as const;
export type Way = (typeof WAYS)[number];
/** Those over NATS. */
export const LOGINS = ["user", "key"] as const;

/** A nats-server with the stream, a connection of the test's own, and a proxy between the publishers under test and NATS, or the broker. */
export interface Rig extends AsyncDisposable {
  readonly nats: TestNats;
  /** The test's own connection, not through the proxy. */
  readonly nc: NatsConnection;
  readonly proxy: TestProxy;
  /** What a publisher says before it sends anything again: it asks whether the stream is there; over HTTP, that it is not the first attempt. */
  readonly question: string;
  /** Where a publisher connects, through the proxy, and as whom. */
  readonly where: PublisherOptions;
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
  options: { stream?: Parameters<typeof ensureTestStream>[1] | false; way?: Way } = {},
): Promise<Rig> {
  const { way = "user" } = options;
  const nats = await startNats();
  const nc = await connectNats(nats.url, { maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  const publishers: Publisher[] = [];
  const seen: SeenMessage[] = [];
  nc.subscribe("kata.team.>", {
    callback: (_, msg) => {
      seen.push({ subject: msg.subject, messageId: msg.headers?.get("Nats-Msg-Id") ?? "", data: msg.string() });
    },
  });
  if (way === "key") await vouch(nc);
  if (options.stream !== false) await ensureTestStream(nc, options.stream);
  const broker = way === "http" ? await startHttp(nats) : undefined;
  const secret = broker === undefined ? SECRET : await secretAt(broker);
  const proxy = await startProxy({ port: broker?.port ?? nats.port });
  return {
    nats,
    nc,
    proxy,
    seen,
    where: whereAndWho(way, proxy.port),
    question: questionOf(way),
    publisher: async (more = {}) => {
      const publisher = await createPublisher({
        ...(more.connection === undefined ? whereAndWho(way, proxy.port) : { teamId: TEAM, ...secretOf(way, secret) }),
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
      await broker?.close();
      await nc.close();
      await proxy[Symbol.asyncDispose]();
      await nats[Symbol.asyncDispose]();
    },
  };
}

function whereAndWho(way: Way, port: number): PublisherOptions {
  if (way === "http") return { url: `http://127.0.0.1:${port}`, apiKey: KEY };
  if (way === "user") return { servers: brokerUrl(port), teamId: TEAM };
  return { servers: `127.0.0.1:${port}`, apiKey: KEY };
}

function questionOf(way: Way): string {
  if (way === "http") return "kata-attempt: since";
  return way === "user" ? "$JS.API.STREAM.INFO.KATA" : `kata.publisher.${TEAM}.stream`;
}

/** Who has a key makes message ids with the team's secret; so does a broker. */
function secretOf(way: Way, idempotencySecret: Uint8Array): PublisherOptions {
  return way === "user" ? {} : { idempotencySecret };
}

async function secretAt({ httpUrl }: InProcessBroker): Promise<Uint8Array> {
  const response = await fetch(`${httpUrl}/v1/publisher`, { headers: { "x-api-key": KEY } });
  const { idempotencySecret } = (await response.json()) as { idempotencySecret: string };
  return Buffer.from(idempotencySecret, "base64url");
}

function startHttp(nats: TestNats): Promise<InProcessBroker> {
  const { apiKeys, access } = createDevelopmentAuth({ apiKey: KEY, teamId: TEAM });
  return startBroker({ nats, apiKeys, access });
}

/** What a broker does for publishers, over the test's own connection. */
async function vouch(nc: NatsConnection): Promise<void> {
  const auth = createDevelopmentAuth({ apiKey: KEY, teamId: TEAM });
  await serveNats({
    nc,
    authSeed: CALLOUT.natsAuthSeed ?? "",
    xkeySeed: CALLOUT.natsXkeySeed ?? "",
    resolve: (credentials) => resolvePrincipal(credentials, auth),
    secrets: { secretOf: async () => SECRET },
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    timeoutMs: 5_000,
  });
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
