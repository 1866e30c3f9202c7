import { z } from "zod";
import { problemOfUrl } from "./auth/http-url.ts";
import { problemTogether } from "./config-together.ts";
import { NO_PROXIES, parseTrustedProxies } from "./server/limits/trusted-proxies.ts";
import { parseOrigins } from "./server/origins.ts";

/** A setting that cannot be used. The message is one line: which variable, what is wrong, what to do. */
export class ConfigError extends Error {
  readonly code = "CONFIG";
  constructor(message: string) {
    super(message);
    this.name = "ConfigError";
  }
}

const MiB = 1024 * 1024;

const text = z.string().trim().min(1);
const whole = (min: number, max: number) =>
  z
    .string()
    .trim()
    .regex(/^\d+$/, "must be a whole number")
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be between ${min} and ${max}`);
const natsUrl = text.refine((url) => {
  const servers = url.split(",").map((each) => each.trim());
  return servers.every((each) => /^(nats|tls|ws|wss):\/\/[^\s/]+$/.test(each) || /^[A-Za-z0-9.-]+(:\d+)?$/.test(each));
}, "must be nats://host:port, or several of them with commas between");
const logLevel = z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"], {
  message: "must be trace, debug, info, warn, error, fatal or silent",
});
/** A text that `parse` makes something else of; `problem` if it gives `undefined`. */
const parsed = <T>(parse: (value: string) => T | undefined, problem: string) =>
  text.transform((value, context): T => {
    const made = parse(value);
    if (made === undefined) context.addIssue(problem);
    return made ?? z.NEVER;
  });
const origins = parsed(
  parseOrigins,
  "must be origins as browsers send them (https://app.example.com), with commas between",
);
const proxies = parsed(
  parseTrustedProxies,
  "must be a number of proxies, 0 to 16, or addresses and networks (10.0.0.0/8) with commas between",
);
const cookieName = text.regex(/^[\w!#$%&'*+.^`|~-]{1,128}$/, "must be a cookie's name");
const seed = (kind: "SA" | "SX") =>
  text.regex(
    new RegExp(`^${kind}[A-Z2-7]{56}$`),
    `must be a seed that begins with ${kind}, as "kata nats-secrets" makes them`,
  );
const httpUrl = text.superRefine((value, context) => {
  const problem = problemOfUrl(value);
  if (problem !== undefined) context.addIssue(problem);
});
const fileOrUrl = text.refine(
  (value) => !value.includes("://") || problemOfUrl(value) === undefined,
  "must be a file, or an http:// or https:// URL without user and password",
);
const secretText = (minBytes: number) =>
  z.string().refine((value) => Buffer.byteLength(value) >= minBytes, `needs at least ${minBytes} bytes`);
const headerText = z.string().regex(/^[\x21-\x7e]+$/, "must be printable ASCII without spaces");
const week = 7 * 86_400_000;

/** Every variable the broker reads: how it is checked, its default, and what it means (docs/configuration.md says the same). */
const VARIABLES = {
  host: { env: "KATA_HOST", schema: text.default("127.0.0.1") },
  port: { env: "KATA_PORT", schema: whole(0, 65_535).default(8080) },
  metricsHost: { env: "KATA_METRICS_HOST", schema: text.default("127.0.0.1") },
  metricsPort: { env: "KATA_METRICS_PORT", schema: whole(0, 65_535).optional() },
  natsUrl: { env: "NATS_URL", schema: natsUrl.default("nats://127.0.0.1:4222") },
  natsAuthSeed: { env: "KATA_NATS_AUTH_SEED", schema: seed("SA").optional() },
  natsXkeySeed: { env: "KATA_NATS_XKEY_SEED", schema: seed("SX").optional() },
  natsTimeoutMs: { env: "KATA_NATS_TIMEOUT_MS", schema: whole(100, 120_000).default(5_000) },
  devApiKey: { env: "KATA_DEV_API_KEY", schema: text.min(16, "needs at least 16 characters").optional() },
  devTeamId: {
    env: "KATA_DEV_TEAM",
    schema: text.regex(/^[A-Za-z0-9_-]{1,128}$/, "must match [A-Za-z0-9_-]{1,128}").default("demo"),
  },
  maxKeysPerTeam: { env: "KATA_MAX_KEYS_PER_TEAM", schema: whole(0, 10_000_000).default(1_000) },
  maxSessionsPerTeam: { env: "KATA_MAX_SESSIONS_PER_TEAM", schema: whole(0, 10_000_000).default(100_000) },
  maxChannelsPerTeam: { env: "KATA_MAX_CHANNELS_PER_TEAM", schema: whole(0, 10_000_000).default(100_000) },
  authStaleMs: { env: "KATA_AUTH_STALE_MS", schema: whole(1_000, week).default(60_000) },
  jwtSecret: { env: "KATA_JWT_SECRET", schema: secretText(32).optional() },
  jwtJwks: { env: "KATA_JWT_JWKS", schema: fileOrUrl.optional() },
  jwtIssuer: { env: "KATA_JWT_ISSUER", schema: text.optional() },
  jwtAudience: { env: "KATA_JWT_AUDIENCE", schema: text.optional() },
  jwtTeamClaim: { env: "KATA_JWT_TEAM_CLAIM", schema: text.default("team_id") },
  jwtClockToleranceSeconds: { env: "KATA_JWT_CLOCK_TOLERANCE_SECONDS", schema: whole(0, 300).default(5) },
  authHookUrl: { env: "KATA_AUTH_HOOK_URL", schema: httpUrl.optional() },
  authHookSecret: { env: "KATA_AUTH_HOOK_SECRET", schema: headerText.optional() },
  authHookCacheMs: { env: "KATA_AUTH_HOOK_CACHE_MS", schema: whole(0, 600_000).default(5_000) },
  authTimeoutMs: { env: "KATA_AUTH_TIMEOUT_MS", schema: whole(50, 60_000).default(3_000) },
  logLevel: { env: "KATA_LOG_LEVEL", schema: logLevel.default("info") },
  streamMaxAgeSeconds: { env: "KATA_STREAM_MAX_AGE_SECONDS", schema: whole(0, 3_153_600_000).optional() },
  streamMaxBytes: { env: "KATA_STREAM_MAX_BYTES", schema: whole(MiB, Number.MAX_SAFE_INTEGER).optional() },
  streamReplicas: { env: "KATA_STREAM_REPLICAS", schema: whole(1, 5).optional() },
  heartbeatIntervalMs: { env: "WS_HEARTBEAT_INTERVAL_MS", schema: whole(10, week).default(15_000) },
  heartbeatTimeoutMs: { env: "WS_HEARTBEAT_TIMEOUT_MS", schema: whole(20, week).default(30_000) },
  maxSubscriptionsPerConnection: { env: "WS_MAX_SUBSCRIPTIONS_PER_CONNECTION", schema: whole(1, 100_000).default(100) },
  maxCommandBytes: { env: "WS_MAX_COMMAND_BYTES", schema: whole(256, MiB).default(16 * 1024) },
  maxErrorsPerMinute: { env: "WS_MAX_ERRORS_PER_MINUTE", schema: whole(1, 1_000_000).default(60) },
  highWaterBytes: { env: "WS_HIGH_WATER_BYTES", schema: whole(64 * 1024, 1024 * MiB).default(256 * 1024) },
  stallTimeoutMs: { env: "WS_STALL_TIMEOUT_MS", schema: whole(100, week).default(60_000) },
  maxBodyBytes: { env: "HTTP_MAX_BODY_BYTES", schema: whole(1024, 64 * MiB).default(MiB) },
  publishTimeoutMs: { env: "HTTP_PUBLISH_TIMEOUT_MS", schema: whole(100, 600_000).default(10_000) },
  streamIdleTimeoutMs: { env: "HTTP_STREAM_IDLE_TIMEOUT_MS", schema: whole(1_000, week).default(300_000) },
  ringBytes: { env: "KATA_RING_BYTES", schema: whole(0, 1024 * MiB).default(4 * MiB) },
  ringTotalBytes: { env: "KATA_RING_TOTAL_BYTES", schema: whole(0, Number.MAX_SAFE_INTEGER).default(256 * MiB) },
  heldBytes: { env: "KATA_HELD_BYTES", schema: whole(0, Number.MAX_SAFE_INTEGER).default(64 * MiB) },
  pageRecords: { env: "KATA_PAGE_RECORDS", schema: whole(1, 10_000).default(256) },
  pageBytes: { env: "KATA_PAGE_BYTES", schema: whole(1024, 64 * MiB).default(256 * 1024) },
  pageCacheBytes: { env: "KATA_PAGE_CACHE_BYTES", schema: whole(0, Number.MAX_SAFE_INTEGER).default(64 * MiB) },
  readsInFlight: { env: "KATA_READS_IN_FLIGHT", schema: whole(1, 10_000).default(16) },
  lingerMs: { env: "KATA_CHANNEL_LINGER_MS", schema: whole(0, week).default(30_000) },
  auditIntervalMs: { env: "KATA_AUDIT_INTERVAL_MS", schema: whole(50, week).default(5_000) },
  reconnectSpreadMs: { env: "KATA_RECONNECT_SPREAD_MS", schema: whole(0, 600_000).default(5_000) },
  allowedOrigins: { env: "KATA_ALLOWED_ORIGINS", schema: origins.default([]) },
  sessionCookie: { env: "KATA_SESSION_COOKIE", schema: cookieName.optional() },
  trustedProxies: { env: "KATA_TRUSTED_PROXIES", schema: proxies.default(NO_PROXIES) },
  maxConnections: { env: "WS_MAX_CONNECTIONS", schema: whole(0, 10_000_000).default(100_000) },
  maxConnectionsPerAddress: { env: "WS_MAX_CONNECTIONS_PER_ADDRESS", schema: whole(0, 10_000_000).default(0) },
  maxConnectionsPerPrincipal: { env: "WS_MAX_CONNECTIONS_PER_PRINCIPAL", schema: whole(0, 10_000_000).default(20_000) },
  maxNewConnectionsPerSecond: {
    env: "KATA_MAX_NEW_CONNECTIONS_PER_SECOND",
    schema: whole(0, 1_000_000).default(1_000),
  },
  maxFailedAuthsPerMinute: { env: "KATA_MAX_FAILED_AUTHS_PER_MINUTE", schema: whole(0, 1_000_000).default(1_000) },
  maxAuthentications: { env: "KATA_MAX_AUTHENTICATIONS", schema: whole(0, 1_000_000).default(10_000) },
  maxCommandsPerSecond: { env: "WS_MAX_COMMANDS_PER_SECOND", schema: whole(0, 1_000_000).default(1_000) },
  maxRequestsPerSecond: { env: "HTTP_MAX_REQUESTS_PER_SECOND", schema: whole(0, 1_000_000).default(2_000) },
  maxPublishBytesPerSecond: {
    env: "HTTP_MAX_PUBLISH_BYTES_PER_SECOND",
    schema: whole(0, Number.MAX_SAFE_INTEGER).default(64 * MiB),
  },
  maxBodiesBytes: { env: "HTTP_MAX_BODIES_BYTES", schema: whole(0, Number.MAX_SAFE_INTEGER).default(512 * MiB) },
  tlsCertFile: { env: "KATA_TLS_CERT_FILE", schema: text.optional() },
  tlsKeyFile: { env: "KATA_TLS_KEY_FILE", schema: text.optional() },
  natsCaFile: { env: "KATA_NATS_CA_FILE", schema: text.optional() },
  natsCertFile: { env: "KATA_NATS_CERT_FILE", schema: text.optional() },
  natsKeyFile: { env: "KATA_NATS_KEY_FILE", schema: text.optional() },
} as const satisfies Record<string, { env: string; schema: z.ZodType }>;

/** The broker's settings; see docs/configuration.md for what each one means, its unit and its default. */
export type BrokerConfig = { readonly [K in keyof typeof VARIABLES]: z.output<(typeof VARIABLES)[K]["schema"]> };

/** The names of the environment variables that {@link loadBrokerConfig} reads. */
export const CONFIG_VARIABLES: readonly string[] = Object.values(VARIABLES).map(({ env }) => env);

/**
 * Reads the broker's settings from environment variables. An empty variable counts as not set.
 *
 * @throws ConfigError naming the first variable that cannot be used; the value is not shown, it may be a secret
 */
export function loadBrokerConfig(env: Readonly<Record<string, string | undefined>>): BrokerConfig {
  const config: Record<string, unknown> = {};
  for (const [key, { env: name, schema }] of Object.entries(VARIABLES)) {
    const value = env[name] === "" ? undefined : env[name];
    const result = schema.safeParse(value);
    if (!result.success)
      throw new ConfigError(
        `${name} ${result.error.issues[0]?.message ?? "cannot be used"}: set it right or leave it out`,
      );
    config[key] = result.data;
  }
  const problem = problemTogether(env);
  if (problem !== undefined) throw new ConfigError(problem);
  const complete = config as unknown as BrokerConfig;
  if ((complete.natsAuthSeed === undefined) !== (complete.natsXkeySeed === undefined)) {
    throw new ConfigError("KATA_NATS_AUTH_SEED and KATA_NATS_XKEY_SEED belong together: set both or neither");
  }
  if (complete.heartbeatTimeoutMs <= complete.heartbeatIntervalMs) {
    throw new ConfigError(
      "WS_HEARTBEAT_TIMEOUT_MS must be greater than WS_HEARTBEAT_INTERVAL_MS: a pong needs time to come back",
    );
  }
  return complete;
}
