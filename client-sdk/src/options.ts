import { BEARER_PREFIX, SUBPROTOCOL, SUBPROTOCOL_NDJSON } from "@kata/protocol/wire";
import type { Backoff } from "./backoff.ts";
import { type Clock, MAX_TIMER_MS } from "./clock.ts";
import type { WebSocketConstructor } from "./socket.ts";
import { socketUrl } from "./url.ts";

export interface RealtimeClientOptions {
  /** `ws://`, `wss://`, `http://` or `https://`; without a path, `/ws` is appended. */
  readonly url: string;
  /** An API key. It, `token` or `getToken` is needed; it travels as a subprotocol, never in the URL. */
  readonly apiKey?: string | undefined;
  /** A session token, instead of `apiKey`. When it expires the client ends (`failed`, close code 4401): see `getToken`. */
  readonly token?: string | undefined;
  /**
   * Fetches a session token, instead of `apiKey`. It is called before every connection attempt, and when the broker says
   * that the token of the open connection is about to expire ([AUTH-3]): a fresh one of the same user keeps it open. One
   * call at a time. One that throws, is rejected, takes longer than `tokenTimeoutMs` or returns what is no token is told
   * as the error `token_failed` and made again with `backoff`; what a call returns after that time is not used.
   */
  readonly getToken?: (() => string | Promise<string>) | undefined;
  /** How long to wait for `getToken`, in milliseconds. Default 30,000. */
  readonly tokenTimeoutMs?: number | undefined;
  /** Bounds of the random wait before a reconnect, in milliseconds. Default `{minMs: 250, maxMs: 10_000}`. */
  readonly backoff?: Partial<Backoff> | undefined;
  /** Default `globalThis.WebSocket`. Node has none before version 22: pass the one of the package `ws`. */
  readonly WebSocket?: WebSocketConstructor | undefined;
  /** Whether the broker may put several events into one frame, which is faster. Default true. */
  readonly ndjson?: boolean | undefined;
  /** How often to ping, in milliseconds. Default 15,000. */
  readonly pingIntervalMs?: number | undefined;
  /** After a ping with nothing heard for this long the connection is given up, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** How long a connection may take until the broker answers, in milliseconds. Default 10,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Evenly in `[0, 1)`. Default `Math.random`. */
  readonly random?: (() => number) | undefined;
  /** Default the host's timers. */
  readonly clock?: Clock | undefined;
}

/** Where the credentials come from. */
export type CredentialsSource =
  | { readonly kind: "key" | "token"; readonly text: string }
  | { readonly kind: "asked"; readonly getToken: () => unknown; readonly timeoutMs: number };

/** Options, checked and complete. */
export interface Settings {
  readonly url: string;
  /** The subprotocols to offer, the credentials not among them. */
  readonly protocols: readonly string[];
  readonly credentials: CredentialsSource;
  readonly backoff: Backoff;
  readonly pingIntervalMs: number;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
}

export const DEFAULT_BACKOFF: Backoff = { minMs: 250, maxMs: 10_000 };

/** What a subprotocol may consist of: `token` of RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function delay(name: string, value: number): number {
  if (!Number.isFinite(value) || value <= 0 || value > MAX_TIMER_MS) {
    throw new TypeError(`${name} must be a number of milliseconds from 1 to ${MAX_TIMER_MS}`);
  }
  return value;
}

/** Whether it can be a key or token at all. Checked here, because a browser's own error would repeat it. */
export function isCredential(text: unknown): text is string {
  return typeof text === "string" && TOKEN.test(text);
}

/** [CONNECT-2] A subprotocol is the one place where browsers and all other hosts alike can put credentials. */
export function bearer(credentials: string): string {
  return `${BEARER_PREFIX}${credentials}`;
}

function credentialsOf(options: RealtimeClientOptions): CredentialsSource {
  const { apiKey, token, getToken, tokenTimeoutMs } = options;
  if ([apiKey, token, getToken].filter((one) => one !== undefined).length !== 1) {
    throw new TypeError("give one of apiKey, token and getToken");
  }
  const timeoutMs = delay("tokenTimeoutMs", tokenTimeoutMs ?? 30_000);
  if (getToken !== undefined) {
    if (typeof getToken !== "function") throw new TypeError("getToken must be a function that returns a token");
    return { kind: "asked", getToken, timeoutMs };
  }
  const text = apiKey ?? token;
  if (!isCredential(text)) throw new TypeError("apiKey or token contains characters that no key or token has");
  return { kind: apiKey === undefined ? "token" : "key", text };
}

/** @throws TypeError for what cannot work; it never repeats the credentials */
export function settingsOf(options: RealtimeClientOptions): Settings {
  const minMs = delay("backoff.minMs", options.backoff?.minMs ?? DEFAULT_BACKOFF.minMs);
  const maxMs = delay("backoff.maxMs", options.backoff?.maxMs ?? DEFAULT_BACKOFF.maxMs);
  if (minMs > maxMs) throw new TypeError("backoff.minMs must not exceed backoff.maxMs");
  const frames = (options.ndjson ?? true) ? [SUBPROTOCOL_NDJSON, SUBPROTOCOL] : [SUBPROTOCOL];
  return {
    url: socketUrl(options.url),
    protocols: frames,
    credentials: credentialsOf(options),
    backoff: { minMs, maxMs },
    pingIntervalMs: delay("pingIntervalMs", options.pingIntervalMs ?? 15_000),
    timeoutMs: delay("timeoutMs", options.timeoutMs ?? 10_000),
    connectTimeoutMs: delay("connectTimeoutMs", options.connectTimeoutMs ?? 10_000),
  };
}
