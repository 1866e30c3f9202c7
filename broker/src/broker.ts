import type { ApiKeyAuth, ChannelAccess, SessionStore } from "./auth/adapters.ts";
import { authorizeChannel } from "./auth/authorize-channel.ts";
import { FairAccess } from "./auth/fair-access.ts";
import type { Principal } from "./auth/principal.ts";
import { RecentOwners } from "./auth/recent-owners.ts";
import { type Credentials, resolvePrincipal } from "./auth/resolve-principal.ts";
import { RecentRevocations } from "./auth/revocation.ts";
import { createRefusalReport } from "./auth/sessions/refusal-report.ts";
import { createTeamSecrets, TEAMS_BUCKET } from "./auth/team-secrets.ts";
import { serveNats } from "./callout/serve-nats.ts";
import type { BrokerConfig } from "./config.ts";
import type { ChannelRecord } from "./delivery/channel-record.ts";
import { Delivery } from "./delivery/delivery.ts";
import { type Identity, openIdentity } from "./identity.ts";
import { connectLog } from "./log/connect.ts";
import type { Logger } from "./logger.ts";
import { createMetrics } from "./metrics.ts";
import { Publishers, publishErrorOf } from "./publishers.ts";
import { FanOut } from "./server/fan-out.ts";
import { Limits } from "./server/limits/limits.ts";
import { serveMetrics } from "./server/metrics.ts";
import { serve } from "./server/serve.ts";
import { checkTls } from "./server/tls.ts";
import { openNatsBucket } from "./store/nats-bucket.ts";

export interface BrokerOptions {
  /** See {@link loadBrokerConfig}. */
  readonly config: BrokerConfig;
  /** Default: keys in NATS KV, which `kata keys` and `/v1/keys` make, and `KATA_DEV_API_KEY`. */
  readonly apiKeys?: ApiKeyAuth;
  readonly sessions?: SessionStore;
  /** Default: a directory in NATS KV, which `kata channels` and `/v1/channels` fill. */
  readonly access?: ChannelAccess;
  /** Told when the connection to NATS ended for good: this broker is of no further use. Default: logged only. */
  readonly onFatal?: (error: Error) => void;
  /** A pino logger, or anything with its `debug`, `info`, `warn` and `error`. Default: none. */
  readonly logger?: Logger;
}

export interface Broker {
  readonly httpUrl: string;
  readonly wsUrl: string;
  /** The port it listens on, also where 0 was asked for. */
  readonly port: number;
  /** The port of the metrics, where `KATA_METRICS_PORT` asks for one. */
  readonly metricsPort?: number;
  /** What is measured, in the text format of Prometheus. */
  metrics(): Promise<string>;
  /** Sends its clients away, each with a slot to come back in, lets publishes finish, and frees everything. */
  close(): Promise<void>;
}

/** uWebSockets.js gives a request some ten seconds to come. */
const BODY_MS = 20_000;

/** Of the questions that the HTTP hook asks at a time a quarter: an application is asked as much by one team at most. */
const QUESTIONS_PER_TEAM = 16;

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Starts a broker: connects to NATS, brings the stream to its form, listens. Any number of them can share a NATS.
 *
 * @throws Error with `code` `NATS_UNREACHABLE`, `NATS_UNUSABLE`, `EADDRINUSE`, or `CONFIG` (a file that is no
 *   certificate or key); the message is one line that says what to do
 */
export async function createBroker(options: BrokerOptions): Promise<Broker> {
  const { config, logger = SILENT } = options;
  const tls = checkTls(config);
  const { nc, log, close } = await connectLog({
    servers: config.natsUrl,
    tls: tls.nats,
    timeoutMs: config.natsTimeoutMs,
    limits: {
      maxAgeSeconds: config.streamMaxAgeSeconds,
      maxBytes: config.streamMaxBytes,
      replicas: config.streamReplicas,
    },
  });
  const undo: (() => Promise<void> | void)[] = [close];
  let closing: Promise<void> | undefined;
  try {
    const unlisten = log.listen((event) => {
      if (event === "disconnected") logger.warn("NATS is away: live delivery rests, nothing is lost");
      else if (event === "reconnected") logger.info("NATS is back: channels repair themselves");
      else logger.warn({ epoch: log.epoch }, "the stream was made anew: subscriptions start over with a gap");
    });
    undo.unshift(unlisten);
    void nc.closed().then((error) => {
      if (closing !== undefined) return;
      const lost = new Error("the connection to NATS ended for good: start the broker anew", { cause: error });
      logger.error({ err: lost }, lost.message);
      options.onFatal?.(lost);
    });
    const fanOut = new FanOut(tls.server);
    const limits = new Limits(config, logger);
    const delivery = new Delivery({
      log,
      limits: config,
      fanOut: fanOut.publish,
      onInvalid: createInvalidReport(logger),
      onDefect: (error) => logger.error({ err: error }, "delivery met an error and tries again"),
    });
    undo.unshift(() => delivery.close());
    const kept = { replicas: config.streamReplicas, timeoutMs: config.natsTimeoutMs };
    const secrets = createTeamSecrets(await openNatsBucket(nc, TEAMS_BUCKET, kept));
    const publishers = new Publishers(nc, config.publishTimeoutMs, secrets);
    undo.unshift(() => publishers.close());
    const onAdapterError = createAdapterReport(logger);
    const identity = await openIdentity({ nc, log, config, logger, adapters: options });
    undo.unshift(() => identity.close());
    const resolve = (credentials: Credentials) =>
      resolvePrincipal(credentials, { apiKeys: identity.apiKeys, sessions: identity.sessions, onAdapterError });
    // Two questions to adapters, and a body.
    const recent = new RecentRevocations(2 * config.authTimeoutMs + BODY_MS);
    for (const each of [identity.apiKeys, identity.sessions]) {
      const unhear = each.onRevoked?.((revocation) => recent.tell(revocation));
      undo.unshift(() => unhear?.());
    }
    const authorize = createAuthorize(identity, config, onAdapterError);
    // A question waits for its turn, and then for its answer.
    const owners = new RecentOwners(3 * config.authTimeoutMs);
    const unhearOwners = identity.access.onOwnerChanged?.((channel) => owners.tell(channel));
    undo.unshift(() => unhearOwners?.());
    const server = await serve({
      fanOut,
      host: config.host,
      port: config.port,
      config,
      delivery,
      log,
      access: identity.access,
      keys: identity.keys,
      channels: identity.directory,
      sessions: identity.kvSessions,
      revoking: [identity.apiKeys, identity.sessions],
      logger,
      limits,
      onAdapterError,
      resolve,
      revokedSince: (at) => recent.since(at),
      authorize,
      ownerChangedSince: (channel, at) => owners.changedSince(channel, at),
      publisherOf: (teamId) => publishers.of(teamId),
      publishErrorOf,
      secrets,
    });
    undo.unshift(() => server.close());
    const { natsAuthSeed: authSeed, natsXkeySeed: xkeySeed, natsTimeoutMs: timeoutMs } = config;
    if (authSeed !== undefined && xkeySeed !== undefined) {
      const entrance = await serveNats({
        nc,
        authSeed,
        xkeySeed,
        resolve,
        secrets,
        logger,
        timeoutMs,
        isKnownKey: identity.isKnownKey,
      });
      const unhear = identity.apiKeys.onRevoked?.((revocation) => entrance.revoked(revocation));
      undo.unshift(() => {
        unhear?.();
        entrance.close();
      });
    }
    const metrics = createMetrics({
      limits: config,
      delivery,
      log,
      connections: server.connections,
      refusals: limits.refusals,
    });
    let metricsPort: number | undefined;
    if (config.metricsPort !== undefined) {
      const listening = await serveMetrics(config.metricsHost, config.metricsPort, metrics);
      undo.unshift(() => listening.close());
      metricsPort = listening.port;
      logger.info({ metricsPort }, `metrics on port ${metricsPort}`);
    }
    const where = `${config.host.includes(":") ? `[${config.host}]` : config.host}:${server.port}`;
    const secure = tls.server === undefined ? "" : "s";
    logger.info({ port: server.port }, `listening on http${secure}://${where}`);
    return {
      httpUrl: `http${secure}://${where}`,
      wsUrl: `ws${secure}://${where}/ws`,
      port: server.port,
      ...(metricsPort === undefined ? {} : { metricsPort }),
      metrics,
      close: () => {
        closing ??= (async () => {
          server.dismiss();
          await publishers.close();
          for (const each of undo) await each();
        })();
        return closing;
      },
    };
  } catch (error) {
    closing = Promise.resolve();
    for (const each of undo) await each();
    throw error;
  }
}

/** What is kept in NATS is in memory, and answers at once; an application takes its time, of which each team has a share. */
function createAuthorize(
  { access, directory }: Identity,
  { authTimeoutMs: waitMs }: BrokerConfig,
  onAdapterError: (adapter: string, error: unknown) => void,
) {
  const fair = directory === undefined ? new FairAccess(access, { perTeam: QUESTIONS_PER_TEAM, waitMs }) : undefined;
  return (channel: string, principal: Principal) =>
    authorizeChannel(channel, principal, fair?.of(principal.teamId) ?? access, onAdapterError);
}

/** While an adapter is away, whoever asks to come in could fill the log: each adapter is named only so often. */
function createAdapterReport(logger: Logger): (adapter: string, error: unknown) => void {
  let err: unknown;
  const report = createRefusalReport<string>({
    write: (adapter, count) => logger.error({ err, adapter, count }, "an adapter failed: refusing"),
  });
  return (adapter, error) => {
    err = error;
    report(adapter);
  };
}

/** So many skipped records are told one by one: whoever may publish and read could fill the log with them. */
const TOLD = 1_000;

/**
 * A stranger's record that is no event stops nobody; whoever operates the broker can find it [EVENT-3]. Each is told
 * once, however often it is read.
 */
function createInvalidReport(logger: Logger): (channel: string, record: ChannelRecord) => void {
  const told = new Set<string>();
  let lines = 0;
  return (channel, record) => {
    const place = `${channel} ${record.seq} ${record.check}`;
    if (told.has(place)) return;
    if (told.size >= TOLD) return;
    told.add(place);
    lines += record.invalid;
    logger.warn(
      { channel, seq: record.seq, lines: record.invalid, linesInAll: lines },
      "skipped what is no valid event",
    );
    if (told.size === TOLD)
      logger.warn("further records that are no events are counted and not named: kata_invalid_lines_total");
  };
}
