import { CHANNELS_BUCKET, ChannelDirectory } from "../auth/channel-directory.ts";
import { KEYS_BUCKET, KeyStore } from "../auth/keys/key-store.ts";
import { KvSessions, SESSIONS_BUCKET } from "../auth/sessions/kv-sessions.ts";
import { connectNats, type NatsConnection, type NatsTls } from "../log/connect.ts";
import { type Bucket, StoreUnavailableError } from "../store/bucket.ts";
import { openNatsBucket } from "../store/nats-bucket.ts";
import { UsageError } from "./usage-error.ts";

/** NATS, as whoever runs the brokers reaches it. */
export interface OperatorNats {
  /** URLs with commas between, each with its login percent-encoded. */
  readonly servers: string;
  readonly tls: NatsTls | undefined;
  /** Copies of a bucket that is not there yet; default 1. */
  readonly replicas: number | undefined;
}

/** How long NATS may take to answer, milliseconds. */
const PATIENCE_MS = 5_000;
/** It lives for one command: nothing grows old. */
const FRESHNESS = { auditIntervalMs: 60_000, staleMs: 60_000 };

/** Works on the keys in NATS itself, as whoever runs the brokers may: for the first key of all, and for any team. */
export function withKeys<T>(nats: OperatorNats, work: (keys: KeyStore) => Promise<T>): Promise<T> {
  return withBucket(nats, KEYS_BUCKET, (bucket) => KeyStore.open({ ...FRESHNESS, bucket }), work);
}

/** The same with the directory of channels. */
export function withDirectory<T>(nats: OperatorNats, work: (directory: ChannelDirectory) => Promise<T>): Promise<T> {
  return withBucket(nats, CHANNELS_BUCKET, (bucket) => ChannelDirectory.open({ ...FRESHNESS, bucket }), work);
}

/** The same with sessions. */
export function withSessions<T>(nats: OperatorNats, work: (sessions: KvSessions) => Promise<T>): Promise<T> {
  return withBucket(nats, SESSIONS_BUCKET, (bucket) => KvSessions.open({ ...FRESHNESS, bucket }), work);
}

/** @throws UsageError if NATS cannot be reached, lets nobody in, or keeps no buckets */
async function withBucket<S extends { close(): void }, T>(
  { servers, tls, replicas }: OperatorNats,
  name: string,
  open: (bucket: Bucket) => Promise<S>,
  work: (store: S) => Promise<T>,
): Promise<T> {
  const nc = await connected(servers, tls);
  try {
    const store = await open(await openNatsBucket(nc, name, { replicas, timeoutMs: PATIENCE_MS }));
    try {
      return await work(store);
    } finally {
      store.close();
    }
  } catch (error) {
    if (!(error instanceof StoreUnavailableError)) throw error;
    throw new UsageError(`${error.message}: is it the brokers' NATS, and --nats the brokers' user?`);
  } finally {
    await nc.close();
  }
}

async function connected(servers: string, tls: NatsTls | undefined): Promise<NatsConnection> {
  try {
    return await connectNats({ servers, tls, timeoutMs: PATIENCE_MS });
  } catch (error) {
    const where = servers.replaceAll(/\/\/[^@/,]*@/g, "//");
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined;
    if (cause?.name === "AuthorizationError") {
      throw new UsageError(
        `NATS at ${where} refused the login: give --nats nats://broker:<password>@…, as a broker's NATS_URL`,
      );
    }
    const why = cause?.message.split("\n")[0] || "no answer";
    const secure = tls !== undefined || servers.includes("tls://");
    throw new UsageError(
      `cannot reach NATS at ${where} (${why}): start it, or give --nats another URL${secure ? " and look at KATA_NATS_CA_FILE" : ""}`,
    );
  }
}
