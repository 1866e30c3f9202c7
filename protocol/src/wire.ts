// The part of the protocol that needs no schema library: what a client or a producer ships.
export * from "./channel.ts";
export * from "./codes.ts";
export type * from "./envelope.ts";
export * from "./event-id.ts";
export type * from "./event-map.ts";
export type { CommandId, InboundCommand, Rewind } from "./inbound.ts";
export type { ControlMessage, OutboundMessage, OutboundType } from "./outbound.ts";
export type { EventPayloads } from "./payloads.ts";
export * from "./record.ts";
export * from "./traceparent.ts";
export * from "./types.ts";
