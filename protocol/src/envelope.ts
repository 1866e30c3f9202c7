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
  readonly payload: P;
}

/** An event of a type that this protocol knows; `type` narrows `payload`. */
export type KnownEvent = { [T in KnownEventType]: Envelope<T, EventPayloads[T]> }[KnownEventType];
/** An event of the application's own. */
export type ApplicationEvent = Envelope<string & {}, unknown>;
/**
 * What a subscriber is handed. The payload is what the producer stored: the broker checks that it is JSON, not its
 * shape ([EVENT-4]), so a reader that does not trust its producers parses it with the type's schema.
 */
export type KataEvent = KnownEvent | ApplicationEvent;
