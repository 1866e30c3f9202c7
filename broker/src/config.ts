import { z } from "zod";

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
const week = 7 * 86_400_000;

/** Every variable the broker reads: how it is checked, its default, and what it means (docs/configuration.md says the same). */
const VARIABLES = {
  host: { env: "KATA_HOST", schema: text.default("127.0.0.1") },
  port: { env: "KATA_PORT", schema: whole(0, 65_535).default(8080) },
  metricsHost: { env: "KATA_METRICS_HOST", schema: text.default("127.0.0.1") },
  metricsPort: { env: "KATA_METRICS_PORT", schema: whole(0, 65_535).optional() },
  natsUrl: { env: "NATS_URL", schema: natsUrl.default("nats://127.0.0.1:4222") },
  natsTimeoutMs: { env: "KATA_NATS_TIMEOUT_MS", schema: whole(100, 120_000).default(5_000) },
  devApiKey: { env: "KATA_DEV_API_KEY", schema: text.min(16, "needs at least 16 characters").optional() },
  devTeamId: {
    env: "KATA_DEV_TEAM",
    schema: text.regex(/^[A-Za-z0-9_-]{1,128}$/, "must match [A-Za-z0-9_-]{1,128}").default("demo"),
  },
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
  const complete = config as unknown as BrokerConfig;
  if (complete.heartbeatTimeoutMs <= complete.heartbeatIntervalMs) {
    throw new ConfigError(
      "WS_HEARTBEAT_TIMEOUT_MS must be greater than WS_HEARTBEAT_INTERVAL_MS: a pong needs time to come back",
    );
  }
  return complete;
}
