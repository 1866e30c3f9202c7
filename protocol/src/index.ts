export * from "./inbound.ts";
export * from "./outbound.ts";
export * from "./payloads.ts";
export * from "./wire.ts";
