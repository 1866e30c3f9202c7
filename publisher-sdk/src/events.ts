import type { AnyEvents, EventMap, EventPayloads, EventTypeOf, KnownEventType, PayloadOf } from "@kata/protocol/wire";
import type { EventInput, EventMeta } from "./event.ts";

/**
 * What may be published where the events are `E`: the application's types with their payloads, and those of the
 * protocol. Where nothing is said of the events, any.
 */
export type EventInputOf<E extends EventMap = AnyEvents> = string extends keyof E
  ? EventInput
  : { [T in EventTypeOf<E>]: EventInput<T, PayloadOf<E, T>> }[EventTypeOf<E>];

/** Makes an event of one type of the protocol [EVENT-1]. The payload may have more fields than those that are defined. */
export type CreateEvent<T extends KnownEventType> = <P extends EventPayloads[T]>(
  payload: P,
  meta?: EventMeta,
) => EventInput<T, P>;

/** How an agent is doing. */
export const agentStatusChanged: CreateEvent<"agent_status_changed"> = creatorOf("agent_status_changed");
/** One line of a log. */
export const logEntry: CreateEvent<"log_entry"> = creatorOf("log_entry");
/** A spec has a new version. */
export const specUpdated: CreateEvent<"spec_updated"> = creatorOf("spec_updated");
/** A task came to its end. */
export const taskCompleted: CreateEvent<"task_completed"> = creatorOf("task_completed");
/** Somebody cannot go on. */
export const blockerRaised: CreateEvent<"blocker_raised"> = creatorOf("blocker_raised");
/** A stream is over [EVENT-6]; `completed`, `failed` and `cancelled` are reasons that everybody understands. */
export const streamEnded: CreateEvent<"stream_ended"> = creatorOf("stream_ended");

function creatorOf<T extends KnownEventType>(type: T): CreateEvent<T> {
  return (payload, meta) => ({ ...meta, type, payload });
}
