import { type BrokerConfig, createBroker, loadBrokerConfig } from "@kata/broker";
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { CHANNELS_BUCKET, ChannelDirectory } from "../../broker/src/auth/channel-directory.ts";
import { KEYS_BUCKET, KeyStore } from "../../broker/src/auth/keys/key-store.ts";
import { KvSessions, SESSIONS_BUCKET } from "../../broker/src/auth/sessions/kv-sessions.ts";
import { createTeamSecrets, TEAMS_BUCKET } from "../../broker/src/auth/team-secrets.ts";
import type { BrokerOptions } from "../../broker/src/broker.ts";
import type { Bucket } from "../../broker/src/store/bucket.ts";
import { openNatsBucket } from "../../broker/src/store/nats-bucket.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";

export const APP = "https://app.example.com";
export const COOKIE = "kata_session";
/** What a test waits for at most: the machine may be slow. */
export const PATIENCE = { timeout: 10_000, interval: 5 };
/** Stands in the one event of every channel that is read: whoever has been handed it was let in. */
export const EVENT_OF_T1 = "for-the-eyes-of-t1-alone";

/** A table is full of refusals from one address: none of them may be one of a limit. */
export const NO_LIMITS: Partial<BrokerConfig> = {
  maxFailedAuthsPerMinute: 0,
  maxNewConnectionsPerSecond: 0,
  maxAuthentications: 0,
  maxRequestsPerSecond: 0,
  maxErrorsPerMinute: 1_000_000,
};

/** What brokers keep in NATS, as whoever runs them reaches it, and all that is stored there. */
export interface Kept extends AsyncDisposable {
  readonly nats: TestNats;
  readonly inside: NatsConnection;
  readonly keys: KeyStore;
  readonly keyBucket: Bucket;
  readonly sessions: KvSessions;
  readonly channels: ChannelDirectory;
  /** Makes credentials that have had their time already. */
  readonly past: { readonly keys: KeyStore; readonly sessions: KvSessions };
  /** How far the log and each bucket has come: two that are equal say that nothing was written between them. */
  stored(): Promise<Readonly<Record<string, { readonly messages: number; readonly lastSeq: number }>>>;
  /** Puts the event of t1 on a channel of t1. */
  seed(subject: string): Promise<void>;
}

const FRESHNESS = { auditIntervalMs: 1_000, staleMs: 60_000 };

/** Starts a nats-server, and makes what brokers would make in it, so that it is all there when things are counted. */
export async function startKept(): Promise<Kept> {
  const nats = await startNats();
  // The first one makes the log.
  await (await createBroker({ config: { ...loadBrokerConfig({}), port: 0, natsUrl: nats.url } })).close();
  const inside = await connectNats(nats.url);
  const bucket = (name: string) => openNatsBucket(inside, name);
  const [keyBucket, sessionBucket] = [await bucket(KEYS_BUCKET), await bucket(SESSIONS_BUCKET)];
  const keys = await KeyStore.open({ ...FRESHNESS, bucket: keyBucket });
  const sessions = await KvSessions.open({ ...FRESHNESS, bucket: sessionBucket });
  const channels = await ChannelDirectory.open({ ...FRESHNESS, bucket: await bucket(CHANNELS_BUCKET) });
  const past = {
    keys: await KeyStore.open({ ...FRESHNESS, bucket: keyBucket, now: () => 0 }),
    sessions: await KvSessions.open({ ...FRESHNESS, bucket: sessionBucket, now: () => 0 }),
  };
  const secrets = createTeamSecrets(await bucket(TEAMS_BUCKET));
  for (const team of ["t1", "t2"]) await secrets.secretOf(team);
  const { streams } = await jetstreamManager(inside);
  return {
    nats,
    inside,
    keys,
    keyBucket,
    sessions,
    channels,
    past,
    async stored() {
      const all: Record<string, { messages: number; lastSeq: number }> = {};
      for await (const { config, state } of streams.list()) {
        all[config.name] = { messages: state.messages, lastSeq: state.last_seq };
      }
      return all;
    },
    async seed(subject) {
      const event = { type: "log_entry", timestamp: "2026-01-31T12:00:00Z", encoding: "json" };
      await inside.request(subject, JSON.stringify({ ...event, payload: { message: EVENT_OF_T1 } }));
    },
    async [Symbol.asyncDispose]() {
      for (const each of [keys, sessions, channels, past.keys, past.sessions]) each.close();
      await inside.close();
      await nats[Symbol.asyncDispose]();
    },
  };
}

/** A broker without a development key: who is let in is in NATS, or known to the adapters that are given. */
export async function openBroker(
  { nats }: Pick<Kept, "nats">,
  config: Partial<BrokerConfig>,
  adapters: Omit<BrokerOptions, "config"> = {},
) {
  const broker = await createBroker({
    ...adapters,
    config: {
      ...loadBrokerConfig({}),
      port: 0,
      natsUrl: nats.url,
      sessionCookie: COOKIE,
      allowedOrigins: [APP],
      ...NO_LIMITS,
      ...config,
    },
  });
  return { ...broker, [Symbol.asyncDispose]: () => broker.close() };
}

export type MatrixBroker = Awaited<ReturnType<typeof openBroker>>;
