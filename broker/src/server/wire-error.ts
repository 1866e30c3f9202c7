import { type CommandId, ERRORS, type ErrorCode, type ErrorPayload } from "@kata/protocol/wire";

/** The payload of an error [ERROR-1], the same on the WebSocket and over HTTP. */
export function errorPayload(
  code: ErrorCode,
  message: string,
  about: { id?: CommandId | undefined; channel?: string | undefined } = {},
): ErrorPayload {
  return {
    code,
    // One line, also where it names what a client sent.
    message: message.replace(/[\p{Cc}\u2028\u2029]+/gu, " "),
    retryable: ERRORS[code].retryable,
    ...(about.id === undefined ? {} : { id: about.id }),
    ...(about.channel === undefined ? {} : { channel: about.channel }),
  };
}

/** What a person is told where every case of a code is the same. */
export const EXPLAINED = {
  unauthenticated: "these credentials are not valid: present an API key or a session token",
  token_expired: "the credentials have expired: fetch fresh ones",
  token_expiring: "the credentials are about to expire: send auth with fresh ones to stay connected",
  unavailable: "the broker cannot check or do this now: try again soon",
  forbidden: "no such channel for your team",
  invalid_channel: "a channel is team:{id}, spec:{id} or agent:{id}, with ids of [A-Za-z0-9_-], 1 to 128 characters",
  origin: "this origin may not use the session cookie: it is not on the broker's list",
  scope: "this API key may not do that: use one with the right scope",
} as const;
