export type {
  AnyEvents,
  CommandId,
  ErrorCode,
  ErrorPayload,
  EventMap,
  EventPayloads,
  GapReason,
  KataEvent,
  Rewind,
} from "@kata/protocol/wire";
export type { Backoff } from "./backoff.ts";
export { createRealtimeClient, type RealtimeClient, type SubscriptionHandle } from "./client.ts";
export type { Cancel, Clock } from "./clock.ts";
export type { ConnectionChange, ConnectionCode } from "./connection-change.ts";
export type { ConnectionStatus } from "./connection-state.ts";
export { RealtimeError, type RealtimeErrorCode } from "./errors.ts";
export type { RealtimeClientOptions } from "./options.ts";
export type { WebSocketConstructor, WebSocketLike } from "./socket.ts";
export type { EventHandler, SubscribeOptions } from "./subscription.ts";
export type { Gap, SubscriptionChange, SubscriptionCode, SubscriptionStatus } from "./subscription-change.ts";
export type { ClientEvents, ClientStats } from "./telling.ts";
