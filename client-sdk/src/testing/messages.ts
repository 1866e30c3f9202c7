import { NO_POSITION } from "@kata/protocol/wire";

/** Envelopes as a broker writes them, for scripts: epoch `e1`, checks `aaaa`. */

const timestamp = "2026-01-01T00:00:00Z";

type Fields = Record<string, unknown>;

export function at(seq: number, n = 0, epoch = "e1"): string {
  return `${epoch}-${seq}-aaaa${n === 0 ? "" : `.${n}`}`;
}

function control(type: string, eventId: string, payload: Fields, channel?: string): Fields {
  return { type, ...(channel === undefined ? {} : { channel }), timestamp, eventId, encoding: "json", payload };
}

export function event(channel: string, eventId: string, message = eventId): Fields {
  return { type: "log_entry", timestamp, encoding: "json", payload: { message }, channel, eventId };
}

export function subscribed(channel: string, eventId: string, payload: Fields): Fields {
  return control("subscribed", eventId, payload, channel);
}

export function caughtUp(channel: string, eventId: string): Fields {
  return control("caught_up", eventId, {}, channel);
}

export function unsubscribed(channel: string, eventId: string, id?: unknown): Fields {
  return control("unsubscribed", eventId, id === undefined ? {} : { id }, channel);
}

export function pong(eventId: string, id: unknown): Fields {
  return control("pong", eventId, { id });
}

export function error(code: string, retryable: boolean, more: Fields = {}): Fields {
  return control("error", NO_POSITION, { code, message: `it is ${code}`, retryable, ...more });
}

export function tokenExpiring(expiresAt = "2026-01-01T00:01:00.000Z"): Fields {
  return error("token_expiring", true, { expiresAt });
}

export function authenticated(id: unknown): Fields {
  return control("authenticated", NO_POSITION, { teamId: "t1", expiresAt: "2026-01-01T01:00:00.000Z", id });
}

export function reconnect(afterMs: number): Fields {
  return control("reconnect", NO_POSITION, { afterMs });
}
