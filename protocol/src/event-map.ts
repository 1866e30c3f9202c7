import type { EventPayloads } from "./payloads.ts";
import type { KnownEventType } from "./types.ts";

/** An application's own events, as the type argument of a publisher or a subscription: payload types by event type, an interface or an alias. */
export type EventMap = object;

/** Any event with any payload: what counts where an application does not say which events it has. */
export interface AnyEvents {
  readonly [type: string]: unknown;
}

/** The types of a map's events, those of the protocol always among them. */
export type EventTypeOf<E extends EventMap> = KnownEventType | Extract<keyof E, string>;

/** The payload of a map's event. A type of the protocol keeps the payload that is defined for it; a map can only narrow it. */
export type PayloadOf<E extends EventMap, T extends string> = (T extends KnownEventType ? EventPayloads[T] : unknown) &
  (T extends keyof E ? E[T] : unknown);
