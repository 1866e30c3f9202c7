import { BEARER_PREFIX, SUBPROTOCOL, SUBPROTOCOL_NDJSON } from "@kata/protocol/wire";
import type { Backoff } from "./backoff.ts";
import { type Clock, MAX_TIMER_MS } from "./clock.ts";
import type { WebSocketConstructor } from "./socket.ts";
import { socketUrl } from "./url.ts";

export interface RealtimeClientOptions {
  /** `ws://`, `wss://`, `http://` or `https://`; without a path, `/ws` is appended. */
  readonly url: string;
  /** An API key. It, or `token`, is needed; it travels as a subprotocol, never in the URL. */
  readonly apiKey?: string | undefined;
  /** A session token, instead of `apiKey`. */
  readonly token?: string | undefined;
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

/** Options, checked and complete. */
export interface Settings {
  readonly url: string;
  readonly protocols: readonly string[];
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

/** [CONNECT-2] A subprotocol is the one place where browsers and all other hosts alike can put credentials. */
function bearer(options: RealtimeClientOptions): string {
  const { apiKey, token } = options;
  const credentials = apiKey ?? token;
  if (credentials === undefined || (apiKey !== undefined && token !== undefined)) {
    throw new TypeError("give either apiKey or token");
  }
  // Checked here, because a browser's own error would repeat it.
  if (typeof credentials !== "string" || !TOKEN.test(credentials)) {
    throw new TypeError("apiKey or token contains characters that no key or token has");
  }
  return `${BEARER_PREFIX}${credentials}`;
}

/** @throws TypeError for what cannot work; it never repeats the credentials */
export function settingsOf(options: RealtimeClientOptions): Settings {
  const minMs = delay("backoff.minMs", options.backoff?.minMs ?? DEFAULT_BACKOFF.minMs);
  const maxMs = delay("backoff.maxMs", options.backoff?.maxMs ?? DEFAULT_BACKOFF.maxMs);
  if (minMs > maxMs) throw new TypeError("backoff.minMs must not exceed backoff.maxMs");
  const frames = (options.ndjson ?? true) ? [SUBPROTOCOL_NDJSON, SUBPROTOCOL] : [SUBPROTOCOL];
  return {
    url: socketUrl(options.url),
    protocols: [...frames, bearer(options)],
    backoff: { minMs, maxMs },
    pingIntervalMs: delay("pingIntervalMs", options.pingIntervalMs ?? 15_000),
    timeoutMs: delay("timeoutMs", options.timeoutMs ?? 10_000),
    connectTimeoutMs: delay("connectTimeoutMs", options.connectTimeoutMs ?? 10_000),
  };
}
