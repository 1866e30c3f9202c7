import type { ErrorPayload } from "@kata/protocol/wire";

/**
 * - `closed`: the client was closed before it was connected
 * - `refused`: the broker refuses this client and will go on doing so (close codes 4500–4999, and 4401 for a fixed `token`)
 * - `token_failed`: `getToken` threw (`cause` is what), took too long or returned no token, or the broker refused what it
 *   returned (`detail` says why); it is called again, with backoff
 * - `protocol_error`: the broker said something that is no message; the connection is made anew and resumes
 * - `subscription_failed`: a channel was refused for good; `channel` and `detail` say which and why
 * - `server_error`: an error of the broker that belongs to no subscription
 * - `handler_failed`: a handler or listener threw (or its promise was rejected); `cause` is what it threw
 */
export type RealtimeErrorCode =
  | "closed"
  | "refused"
  | "token_failed"
  | "protocol_error"
  | "subscription_failed"
  | "server_error"
  | "handler_failed";

interface RealtimeErrorFields {
  readonly channel?: string | undefined;
  readonly eventId?: string | undefined;
  readonly closeCode?: number | undefined;
  readonly detail?: ErrorPayload | undefined;
  readonly cause?: unknown;
}

/** What `connect()` rejects with and `error` listeners are told. No credentials are in it, but `cause` is as the application made it. */
export class RealtimeError extends Error {
  override readonly name = "RealtimeError";
  readonly code: RealtimeErrorCode;
  /** The channel it is about. */
  readonly channel: string | undefined;
  /** Of `handler_failed` in an event handler: the event it was handed. */
  readonly eventId: string | undefined;
  /** Of `refused`: the WebSocket close code. */
  readonly closeCode: number | undefined;
  /** What the broker said: [ERROR-1]. */
  readonly detail: ErrorPayload | undefined;

  constructor(code: RealtimeErrorCode, message: string, fields: RealtimeErrorFields = {}) {
    super(message, "cause" in fields ? { cause: fields.cause } : undefined);
    this.code = code;
    this.channel = fields.channel;
    this.eventId = fields.eventId;
    this.closeCode = fields.closeCode;
    this.detail = fields.detail;
  }
}
