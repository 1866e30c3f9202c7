import type { ErrorPayload } from "@kata/protocol/wire";
import type { ConnectionStatus } from "./connection-state.ts";

/**
 * Why a connection changed.
 * - `connect`, `close`: the application called it
 * - `connected`: the broker answered
 * - `lost`: the socket was closed, or never opened; `closeCode` says how
 * - `timeout`: nothing was heard for too long; `connect_timeout`: no answer to a new connection
 * - `protocol_error`: the broker said something that is no message
 * - `token_failed`: `getToken` failed or took too long; an error of the same code says more
 * - `refused`: closed with a code that says not to come back, or with 4401 while there is no other token than the expired one
 */
export type ConnectionCode =
  | "connect"
  | "connected"
  | "lost"
  | "timeout"
  | "connect_timeout"
  | "protocol_error"
  | "token_failed"
  | "refused"
  | "close";

/** One step of the connection. While it is `connecting`, every attempt that failed is told: the status stays, code and delay change. */
export interface ConnectionChange {
  readonly status: ConnectionStatus;
  readonly previous: ConnectionStatus;
  readonly code: ConnectionCode;
  /** For people. */
  readonly reason: string;
  /** The WebSocket close code, where there was one. */
  readonly closeCode?: number;
  /** How long until the next attempt, in milliseconds. */
  readonly retryInMs?: number;
  /** What the broker said before it closed. */
  readonly error?: ErrorPayload;
}
