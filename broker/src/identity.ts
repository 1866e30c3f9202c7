import type { ApiKeyAuth, ChannelAccess, SessionStore } from "./auth/adapters.ts";
import { CHANNELS_BUCKET, ChannelDirectory } from "./auth/channel-directory.ts";
import { type Adapters, withDeadline } from "./auth/deadline.ts";
import { createDevelopmentAuth, DEVELOPMENT_KEY_ID } from "./auth/development.ts";
import { eitherAccess, eitherKeys } from "./auth/either.ts";
import { KEYS_BUCKET, KeyStore } from "./auth/keys/key-store.ts";
import { KvSessions, SESSIONS_BUCKET } from "./auth/sessions/kv-sessions.ts";
import { createSessions } from "./auth/sessions/sessions.ts";
import type { BrokerConfig } from "./config.ts";
import { createConfiguredAuth } from "./configured-auth.ts";
import type { NatsConnection } from "./log/connect.ts";
import type { EventLog } from "./log/event-log.ts";
import type { Logger } from "./logger.ts";
import type { Bucket } from "./store/bucket.ts";
import { openNatsBucket } from "./store/nats-bucket.ts";

/** Who may come in, and whose the channels are. */
export interface Identity {
  readonly apiKeys: ApiKeyAuth;
  readonly sessions: SessionStore;
  readonly access: ChannelAccess;
  /** What is kept in NATS KV; absent where the application keeps it itself. */
  readonly keys?: KeyStore | undefined;
  readonly kvSessions?: KvSessions | undefined;
  readonly directory?: ChannelDirectory | undefined;
  /**
   * Whether the key has not been revoked, by its id; absent where an application knows, which is not asked by ids.
   *
   * @throws StoreUnavailableError
   */
  readonly isKnownKey?: ((keyId: string) => boolean) | undefined;
  close(): void;
}

export interface IdentityOptions {
  readonly nc: NatsConnection;
  readonly log: EventLog;
  readonly config: BrokerConfig;
  readonly logger: Logger;
  /** What an application brings of its own. What it does not is answered by `KATA_AUTH_HOOK_URL`, else kept in NATS KV. */
  readonly adapters: Adapters;
}

/** @throws StoreUnavailableError if NATS KV cannot be used, ConfigError for a key set that cannot */
export async function openIdentity({ nc, log, config, logger, adapters }: IdentityOptions): Promise<Identity> {
  const { jwt, hook } = await createConfiguredAuth(config, logger);
  const stores = new Stores(nc, log, config);
  const freshness = { auditIntervalMs: config.auditIntervalMs, staleMs: config.authStaleMs };
  try {
    const ownKeys = adapters.apiKeys ?? hook;
    const keys =
      ownKeys === undefined
        ? await stores.open(KEYS_BUCKET, (bucket) =>
            KeyStore.open({ ...freshness, bucket, maxPerTeam: config.maxKeysPerTeam }),
          )
        : undefined;
    const kvSessions =
      adapters.sessions === undefined
        ? await stores.open(SESSIONS_BUCKET, (bucket) =>
            KvSessions.open({
              ...freshness,
              bucket,
              maxPerTeam: config.maxSessionsPerTeam,
              onUnreadable: (key) => logger.warn({ key }, "a stored session cannot be read: it lets nobody in"),
            }),
          )
        : undefined;
    const ownAccess = adapters.access ?? hook;
    const directory =
      ownAccess === undefined
        ? await stores.open(CHANNELS_BUCKET, (bucket) =>
            ChannelDirectory.open({ ...freshness, bucket, maxPerTeam: config.maxChannelsPerTeam }),
          )
        : undefined;
    const kept = {
      apiKeys: ownKeys ?? (keys as ApiKeyAuth),
      sessions: adapters.sessions ?? createSessions({ jwt, kv: kvSessions, other: hook }),
      access: ownAccess ?? (directory as ChannelAccess),
    };
    const asked = withDeadline(withDevelopment(kept, config, adapters), config.authTimeoutMs);
    const hasDevelopmentKey = config.devApiKey !== undefined;
    const isKnownKey =
      keys && ((keyId: string) => keys.has(keyId) || (hasDevelopmentKey && keyId === DEVELOPMENT_KEY_ID));
    return { ...asked, keys, kvSessions, directory, isKnownKey, close: () => stores.close() };
  } catch (error) {
    stores.close();
    throw error;
  }
}

/** `KATA_DEV_API_KEY` beside the others, and its team as the owner of what nobody has registered. */
function withDevelopment<T extends { apiKeys: ApiKeyAuth; access: ChannelAccess }>(
  kept: T,
  { devApiKey: apiKey, devTeamId: teamId }: BrokerConfig,
  adapters: Adapters,
): T {
  if (apiKey === undefined) return kept;
  const development = createDevelopmentAuth({ apiKey, teamId });
  return {
    ...kept,
    ...(adapters.apiKeys === undefined && { apiKeys: eitherKeys(development.apiKeys, kept.apiKeys) }),
    ...(adapters.access === undefined && { access: eitherAccess(kept.access, development.access) }),
  };
}

interface Store {
  reconnected(): Promise<void>;
  close(): void;
}

/** The stores in NATS KV, each read anew when the connection is back. */
class Stores {
  readonly #nc: NatsConnection;
  readonly #config: BrokerConfig;
  readonly #log: EventLog;
  readonly #closers: (() => void)[] = [];

  constructor(nc: NatsConnection, log: EventLog, config: BrokerConfig) {
    this.#nc = nc;
    this.#log = log;
    this.#config = config;
  }

  async open<T extends Store>(name: string, open: (bucket: Bucket) => Promise<T>): Promise<T> {
    const { streamReplicas: replicas, natsTimeoutMs: timeoutMs } = this.#config;
    const store = await open(await openNatsBucket(this.#nc, name, { replicas, timeoutMs }));
    const unlisten = this.#log.listen((event) => {
      if (event === "reconnected") void store.reconnected();
    });
    this.#closers.push(() => {
      unlisten();
      store.close();
    });
    return store;
  }

  close(): void {
    for (const close of this.#closers.splice(0)) close();
  }
}
