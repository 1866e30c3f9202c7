import { createHmac, randomBytes } from "node:crypto";
import type { ApiKeyAuth, ChannelAccess, SessionStore } from "../adapters.ts";
import { BoundedFetchError, boundedFetch } from "../bounded-fetch.ts";
import { problemOfUrl } from "../http-url.ts";
import type { ApiKeyPrincipal, SessionPrincipal } from "../principal.ts";
import { apiKeyOf, ownerOf, userOf } from "./answers.ts";
import { Asked } from "./asked.ts";
import { HookError } from "./hook-error.ts";
import { Places } from "./places.ts";

export interface HttpHookOptions {
  /** Where the application answers: http or https, without user and password. */
  readonly url: string;
  /** For one question, milliseconds; default 3,000. */
  readonly timeoutMs?: number | undefined;
  /** How long an answer is believed, milliseconds; default 5,000, 0 for not at all. Never longer than what it lets in is valid. */
  readonly cacheMs?: number | undefined;
  /** The same for keys and users that the application does not know, milliseconds; default 1,000, at most `cacheMs`. */
  readonly unknownCacheMs?: number | undefined;
  /** Presented as `authorization: Bearer <secret>`, so that the application knows who asks. */
  readonly secret?: string | undefined;
  /** Answers that are kept of keys, of users, of owners, and as many "unknown" of each; default 10,000. */
  readonly cacheEntries?: number | undefined;
  /** Requests at a time; default 64. 1,000 more wait for their turn, within `timeoutMs`. */
  readonly maxInFlight?: number | undefined;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

export interface HttpHook extends ApiKeyAuth, SessionStore, ChannelAccess {}

/** What the application is asked: the body of the request. */
type Question =
  | { readonly kind: "api_key"; readonly key: string }
  | { readonly kind: "session"; readonly sessionId: string }
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "spec"; readonly id: string }
  | { readonly kind: "agent"; readonly id: string };

const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_WAITING = 1_000;

/**
 * All adapters over one address of the application's, which is asked by `POST` with JSON: `{kind: "api_key", key}`,
 * `{kind: "session", sessionId}`, `{kind: "token", token}`, `{kind: "spec", id}` or `{kind: "agent", id}`. It answers
 * 200 with `{teamId, keyId, scopes, channels?, expiresAt?, secretId?}` for a key, `{teamId, userId, expiresAt,
 * sessionId?}` for a session or a token, `{teamId}` for a spec or an agent; or 404 for what it does not know. Anything
 * else is an outage, and rejects with HookError.
 *
 * Nothing tells the broker what the application takes back: an answer is believed for the cache's time, and an open
 * connection lasts until `expiresAt`, or for as long as it likes where there is none.
 *
 * @throws TypeError if the address or the secret cannot be used
 */
export function createHttpHook(options: HttpHookOptions): HttpHook {
  const { url, secret, timeoutMs = 3_000, cacheMs = 5_000, maxInFlight = 64, now = Date.now } = options;
  const problem = problemOfUrl(url);
  if (problem !== undefined) throw new TypeError(`the address of the auth hook ${problem}`);
  if (secret !== undefined && !/^[\x21-\x7e]+$/.test(secret)) {
    throw new TypeError("the secret of the auth hook is printable ASCII without spaces");
  }
  const headers = {
    "content-type": "application/json",
    ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
  };
  const places = new Places(maxInFlight, MAX_WAITING);
  const cache = {
    cacheMs,
    unknownCacheMs: Math.min(options.unknownCacheMs ?? 1_000, cacheMs),
    entries: options.cacheEntries ?? 10_000,
    now,
  };
  const keys = new Asked<ApiKeyPrincipal>({ ...cache, expiryOf: ({ expiresAt }) => expiresAt });
  const users = new Asked<SessionPrincipal>({ ...cache, expiryOf: ({ expiresAt }) => expiresAt });
  // [SUBSCRIBE-3] Who asks must not learn by the time that it takes whether somebody else owns what he may not use.
  const owners = new Asked<string>({ ...cache, unknownCacheMs: cacheMs, expiryOf: () => undefined });
  // No secret is kept, nor what could be compared with one elsewhere.
  const salt = randomBytes(32);

  function ask<T>(asked: Asked<T>, question: Question, read: (json: unknown) => T | undefined): Promise<T | undefined> {
    const body = JSON.stringify(question);
    const key = createHmac("sha256", salt).update(body, "utf8").digest("base64url");
    return asked.answer(key, () => request(body, read));
  }

  async function request<T>(body: string, read: (json: unknown) => T | undefined): Promise<T | undefined> {
    const until = performance.now() + timeoutMs;
    if (!(await places.take(timeoutMs))) throw new HookError("hook_busy", "is asked too much at a time");
    try {
      const left = Math.max(1, Math.ceil(until - performance.now()));
      const answer = await boundedFetch(url, {
        method: "POST",
        headers,
        body,
        timeoutMs: left,
        maxBytes: MAX_ANSWER_BYTES,
      });
      return understand(answer, read);
    } catch (error) {
      if (error instanceof BoundedFetchError) throw new HookError(error.code, `failed: ${error.message}`);
      throw error;
    } finally {
      places.leave();
    }
  }

  return {
    verifyKey: (key) => ask(keys, { kind: "api_key", key }, apiKeyOf),
    verifySession: (sessionId) => ask(users, { kind: "session", sessionId }, userOf),
    verifyToken: (token) => ask(users, { kind: "token", token }, userOf),
    resolveSpecTeamId: (id) => ask(owners, { kind: "spec", id }, ownerOf),
    resolveAgentTeamId: (id) => ask(owners, { kind: "agent", id }, ownerOf),
  };
}

function understand<T>(
  { status, body }: { status: number; body: string },
  read: (json: unknown) => T | undefined,
): T | undefined {
  if (status === 404) return undefined;
  if (status !== 200) throw new HookError("hook_status", `answered ${status}: 200 or 404 is understood`);
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw new HookError("hook_answer", "answered 200 with what is no JSON");
  }
  const answer = read(json);
  if (answer === undefined) throw new HookError("hook_answer", "answered 200 with JSON that does not fit the question");
  return answer;
}
