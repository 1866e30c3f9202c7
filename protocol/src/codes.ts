interface ErrorPolicy {
  /** Whether the same request can succeed later without being changed. */
  readonly retryable: boolean;
  /** The status of an HTTP answer with this code. */
  readonly status: number;
  /** With what the connection is closed, where this error ends it. */
  readonly close?: CloseCode;
}

/**
 * Close codes of `/ws`. The range is the policy, so that an old client handles a new code rightly:
 * 4000–4499 reconnect (with backoff), 4500–4999 do not.
 */
export const CLOSE = {
  tokenExpired: 4401,
  heartbeatTimeout: 4408,
  noProgress: 4409,
  restarting: 4412,
  tooMuch: 4429,
  unavailable: 4450,
  badRequest: 4500,
  unauthenticated: 4501,
  revoked: 4503,
  forbidden: 4504,
} as const;
export type CloseCode = (typeof CLOSE)[keyof typeof CLOSE];

/** Whether a client that was closed with `code` should connect again: [CLOSE-1]. */
export function mayReconnect(code: number): boolean {
  return code < 4500 || code > 4999;
}

/** Every error code of the protocol and the HTTP API with its policy. */
export const ERRORS = {
  invalid_json: { retryable: false, status: 400 },
  invalid_command: { retryable: false, status: 400 },
  invalid_channel: { retryable: false, status: 400 },
  invalid_event: { retryable: false, status: 400 },
  binary_frame: { retryable: false, status: 400 },
  taken: { retryable: false, status: 409 },
  too_large: { retryable: false, status: 413 },
  bad_request: { retryable: false, status: 400, close: CLOSE.badRequest },
  unauthenticated: { retryable: false, status: 401, close: CLOSE.unauthenticated },
  token_expired: { retryable: true, status: 401, close: CLOSE.tokenExpired },
  token_expiring: { retryable: true, status: 401 },
  forbidden: { retryable: false, status: 403, close: CLOSE.forbidden },
  quota_exceeded: { retryable: false, status: 403 },
  not_found: { retryable: false, status: 404 },
  method_not_allowed: { retryable: false, status: 405 },
  already_subscribed: { retryable: false, status: 409 },
  not_subscribed: { retryable: false, status: 409 },
  subscription_limit: { retryable: false, status: 429 },
  too_many_errors: { retryable: true, status: 429, close: CLOSE.tooMuch },
  rate_limited: { retryable: true, status: 429, close: CLOSE.tooMuch },
  internal: { retryable: true, status: 500 },
  unavailable: { retryable: true, status: 503, close: CLOSE.unavailable },
} as const satisfies Record<string, ErrorPolicy>;
export type ErrorCode = keyof typeof ERRORS;

/** The payload of an `error` message, and under `error` the body of a failed HTTP request. */
export interface ErrorPayload {
  readonly code: ErrorCode;
  /** One line for a person: what is wrong and what to do. */
  readonly message: string;
  readonly retryable: boolean;
  /** The `id` of the command that failed. */
  readonly id?: string | number;
  /** The channel it named. */
  readonly channel?: string;
  /** With `token_expiring`: when the connection will be closed, RFC 3339 [AUTH-3]. */
  readonly expiresAt?: string;
}

/** Subprotocols a client can offer: [CONNECT-3]. */
export const SUBPROTOCOL = "kata.v1";
export const SUBPROTOCOL_NDJSON = "kata.v1.ndjson";
/** Prefix of the subprotocol that carries a browser's token: [CONNECT-2]. */
export const BEARER_PREFIX = "bearer.";

/** Why a resume could not be complete: [RESUME-4]. */
export const GAP_REASONS = ["expired", "reset", "rewritten", "unknown"] as const;
export type GapReason = (typeof GAP_REASONS)[number];
