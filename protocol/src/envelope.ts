import type { AnyEvents, EventMap, EventTypeOf, PayloadOf } from "./event-map.ts";
import type { EventPayloads } from "./payloads.ts";
import type { KnownEventType } from "./types.ts";

interface Envelope<T extends string, P> {
  readonly type: T;
  readonly channel: string;
  /** RFC 3339: when the producer made it. */
  readonly timestamp: string;
  /** Where it stands in the log; resume from here. */
  readonly eventId: string;
  readonly encoding: "json";
  /** [ENVELOPE-7] The W3C trace context of whoever published it; what is none (`isTraceparent`) counts as absent. */
  readonly traceparent?: string;
  readonly payload: P;
}

/** An event of a type that this protocol knows; `type` narrows `payload`. */
export type KnownEvent = { [T in KnownEventType]: Envelope<T, EventPayloads[T]> }[KnownEventType];
/** An event of the application's own. */
export type ApplicationEvent = Envelope<string & {}, unknown>;
/**
 * What a subscriber is handed. The payload is what the producer stored: the broker checks that it is JSON, not its
 * shape ([EVENT-4]), so a reader that does not trust its producers parses it with the type's schema.
 *
 * With the application's own events as its argument, `type` narrows `payload` for them and those of the protocol. That
 * is as true as its producers are: what they publish beside them is handed over, too, so a `switch` needs a `default`.
 */
export type KataEvent<E extends EventMap = AnyEvents> = string extends keyof E
  ? KnownEvent | ApplicationEvent
  : { [T in EventTypeOf<E>]: Envelope<T, PayloadOf<E, T>> }[EventTypeOf<E>];
