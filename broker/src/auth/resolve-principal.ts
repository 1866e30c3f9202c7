import { ERRORS, isId } from "@kata/protocol/wire";
import { tellable } from "./adapter-error.ts";
import type { ApiKeyAuth, SessionStore } from "./adapters.ts";
import { isChannelLimit, type Principal, SCOPES } from "./principal.ts";

/** What was presented; at most one is looked at, in the order apiKey, token, sessionId. */
export interface Credentials {
  readonly apiKey?: string | undefined;
  readonly sessionId?: string | undefined;
  /** A session token, or an API key where only one field can be sent. */
  readonly token?: string | undefined;
}

export interface ResolveDeps {
  readonly apiKeys: ApiKeyAuth;
  /** Without it no session is valid. */
  readonly sessions?: SessionStore | undefined;
  /** Told of an adapter that threw: the one who asked learns only that it is an outage. */
  readonly onAdapterError?: ((adapter: string, error: unknown) => void) | undefined;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

export type Resolution =
  | { readonly principal: Principal; readonly errorCode?: undefined }
  | {
      readonly principal?: undefined;
      readonly errorCode: "unauthenticated" | "token_expired" | "unavailable";
      readonly status: number;
    };

const API_KEY_PREFIX = "kat_";
/** No credential is longer; what is, costs an adapter nothing. */
const MAX_CREDENTIAL = 16_384;

/**
 * Who presented `credentials`: one answer for HTTP, WebSocket and every other entrance, so that they cannot drift
 * apart. It fails closed: an adapter that throws, or answers what is no principal, is a 503, never a pass [CONNECT-5].
 */
export async function resolvePrincipal(credentials: Credentials, deps: ResolveDeps): Promise<Resolution> {
  const { apiKeys, sessions } = deps;
  const key = credentials.apiKey ?? (credentials.token?.startsWith(API_KEY_PREFIX) ? credentials.token : undefined);
  if (key !== undefined) return settle("ApiKeyAuth", key, deps, () => apiKeys.verifyKey(key));
  const { token, sessionId } = credentials;
  if (token !== undefined) return settle("SessionStore", token, deps, async () => sessions?.verifyToken(token));
  if (sessionId !== undefined)
    return settle("SessionStore", sessionId, deps, async () => sessions?.verifySession(sessionId));
  return refused("unauthenticated");
}

async function settle(
  adapter: string,
  credential: string,
  deps: ResolveDeps,
  verify: () => Promise<Principal | undefined>,
): Promise<Resolution> {
  if (credential === "" || credential.length > MAX_CREDENTIAL) return refused("unauthenticated");
  let principal: Principal | undefined;
  try {
    principal = await verify();
    if (principal !== undefined && !isPrincipal(principal)) throw new TypeError("the adapter's answer is no principal");
  } catch (error) {
    deps.onAdapterError?.(adapter, tellable(error, credential));
    return refused("unavailable");
  }
  if (principal === undefined) return refused("unauthenticated");
  const now = deps.now ?? Date.now;
  if (principal.expiresAt !== undefined && principal.expiresAt <= now()) {
    // A key does not come back to life; whoever holds a token can fetch a fresh one.
    return refused(principal.type === "api_key" ? "unauthenticated" : "token_expired");
  }
  return { principal };
}

/** Adapters may be an application's own JavaScript: their answer is checked, not believed. */
function isPrincipal(answer: unknown): answer is Principal {
  if (typeof answer !== "object" || answer === null || !("type" in answer) || !("teamId" in answer)) return false;
  if (!isId(answer.teamId)) return false;
  const { type, keyId, scopes, channels, userId, expiresAt } = answer as Readonly<Record<string, unknown>>;
  if (type === "api_key") {
    const known = Array.isArray(scopes) && scopes.every((scope) => SCOPES.includes(scope));
    const limits = channels === undefined || (Array.isArray(channels) && channels.every(isChannelLimit));
    return isId(keyId) && known && limits && (expiresAt === undefined || isTime(expiresAt));
  }
  return type === "session_user" && typeof userId === "string" && isTime(expiresAt);
}

/** Milliseconds since 1970 that a date can have. */
function isTime(value: unknown): boolean {
  return Number.isFinite(value) && Math.abs(value as number) <= 8.64e15;
}

function refused(errorCode: "unauthenticated" | "token_expired" | "unavailable"): Resolution {
  return { errorCode, status: ERRORS[errorCode].status };
}
