import { createHttpHook, type HttpHook } from "./auth/hooks/http-hook.ts";
import { sharedSecret } from "./auth/sessions/jwt-keys.ts";
import type { JwtRefusal } from "./auth/sessions/jwt-refusal.ts";
import { createJwtSessions, type JwtSessions } from "./auth/sessions/jwt-sessions.ts";
import { KeySet } from "./auth/sessions/key-set.ts";
import { keySetFile, keySetUrl } from "./auth/sessions/load-key-set.ts";
import { createRefusalReport } from "./auth/sessions/refusal-report.ts";
import { type BrokerConfig, ConfigError } from "./config.ts";
import type { Logger } from "./logger.ts";

/** What the settings ask for besides what is kept in NATS KV. */
export interface ConfiguredAuth {
  readonly jwt?: JwtSessions;
  readonly hook?: HttpHook;
}

/**
 * The adapters that the settings name. Keys at an address are fetched in the background: the issuer may start later.
 *
 * @throws ConfigError if a key set in a file cannot be used
 */
export async function createConfiguredAuth(config: BrokerConfig, logger: Logger): Promise<ConfiguredAuth> {
  const keys = await jwtKeys(config, logger);
  const { authHookUrl: url, authHookSecret: secret, authHookCacheMs: cacheMs, authTimeoutMs: timeoutMs } = config;
  return {
    ...(keys && { jwt: createJwtSessions({ keys, ...jwtDemands(config, logger) }) }),
    ...(url !== undefined && { hook: createHttpHook({ url, secret, cacheMs, timeoutMs }) }),
  };
}

function jwtDemands(config: BrokerConfig, logger: Logger) {
  return {
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
    teamClaim: config.jwtTeamClaim,
    clockToleranceSeconds: config.jwtClockToleranceSeconds,
    onRefused: createRefusalReport<JwtRefusal>({
      write: (code, count) => logger.info({ code, count }, "refused a session token"),
    }),
  };
}

async function jwtKeys(config: BrokerConfig, logger: Logger) {
  const { jwtSecret, jwtJwks, jwtAudience, authTimeoutMs } = config;
  if (jwtSecret !== undefined) return sharedSecret(jwtSecret);
  if (jwtJwks === undefined) return undefined;
  if (jwtAudience === undefined) {
    logger.warn("KATA_JWT_AUDIENCE is not set: tokens that the issuer made for other applications are let in as well");
  }
  const isUrl = jwtJwks.includes("://");
  const keys = new KeySet({
    // Whoever waits for the keys has time left to be answered with those that are known.
    load: isUrl ? keySetUrl(jwtJwks, Math.ceil(authTimeoutMs / 2)) : keySetFile(jwtJwks),
    onUnavailable: (error) => logger.warn({ reason: messageOf(error) }, "the keys of KATA_JWT_JWKS cannot be read now"),
  });
  const read = keys.refresh();
  if (isUrl) read.catch(() => undefined);
  else {
    await read.catch((error: unknown) => {
      throw new ConfigError(`KATA_JWT_JWKS cannot be used: ${messageOf(error)}`);
    });
  }
  return keys;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
