import {
  type ErrorPayload,
  type EventId,
  type GapReason,
  isControlType,
  isEventType,
  type KataEvent,
  parseEventId,
} from "@kata/protocol/wire";

type ReplyId = string | number | undefined;

/** A message of the broker, read as far as this SDK needs it. Fields that it does not know are ignored: [ENVELOPE-5]. */
export type Incoming =
  | { readonly kind: "event"; readonly channel: string; readonly event: KataEvent; readonly at: EventId }
  | {
      readonly kind: "subscribed";
      readonly channel: string;
      readonly eventId: string;
      readonly recovery: "fresh" | "complete" | "gap";
      readonly reason: GapReason;
      readonly id: ReplyId;
    }
  | { readonly kind: "caught_up"; readonly channel: string; readonly eventId: string }
  | { readonly kind: "unsubscribed"; readonly channel: string; readonly id: ReplyId }
  | { readonly kind: "pong"; readonly eventId: string; readonly id: ReplyId }
  | { readonly kind: "error"; readonly error: ErrorPayload }
  | { readonly kind: "reconnect"; readonly afterMs: number }
  | { readonly kind: "authenticated"; readonly id: ReplyId };

/** What the broker sent is no message of the protocol. */
export class MalformedMessage extends Error {
  override readonly name = "MalformedMessage";
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new MalformedMessage(`${what} is no object`);
  }
  return value as Fields;
}

function textOf(fields: Fields, key: string, type: string): string {
  const value = fields[key];
  if (typeof value !== "string") throw new MalformedMessage(`${key} of ${type} is no string`);
  return value;
}

function positionOf(fields: Fields, type: string): EventId {
  const at = parseEventId(fields.eventId);
  if (at === undefined) throw new MalformedMessage(`eventId of ${type} is none`);
  return at;
}

function replyId(payload: Fields): ReplyId {
  const { id } = payload;
  return typeof id === "string" || typeof id === "number" ? id : undefined;
}

function subscribed(fields: Fields, payload: Fields): Incoming {
  const { recovery } = payload;
  if (recovery !== "fresh" && recovery !== "complete" && recovery !== "gap") {
    throw new MalformedMessage("recovery of subscribed is none");
  }
  return {
    kind: "subscribed",
    channel: textOf(fields, "channel", "subscribed"),
    eventId: textOf(fields, "eventId", "subscribed"),
    recovery,
    // A reason that a newer broker gives is passed on as it is.
    reason: typeof payload.reason === "string" ? (payload.reason as GapReason) : "unknown",
    id: replyId(payload),
  };
}

function error(payload: Fields): Incoming {
  const { code, message, retryable } = payload;
  if (typeof code !== "string" || typeof message !== "string" || typeof retryable !== "boolean") {
    throw new MalformedMessage("payload of error is none");
  }
  return { kind: "error", error: payload as unknown as ErrorPayload };
}

function reconnect(payload: Fields): Incoming {
  const { afterMs } = payload;
  if (typeof afterMs !== "number" || !(afterMs >= 0)) throw new MalformedMessage("afterMs of reconnect is no delay");
  return { kind: "reconnect", afterMs };
}

/**
 * Reads one envelope ([ENVELOPE-1]).
 *
 * @throws MalformedMessage if it is none; its message names what is wrong and repeats nothing of the content
 */
export function decode(line: string): Incoming {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new MalformedMessage("a message is no JSON");
  }
  const fields = fieldsOf(value, "a message");
  const { type } = fields;
  if (!isControlType(type)) {
    if (!isEventType(type)) throw new MalformedMessage("type of a message is none");
    const at = positionOf(fields, "an event");
    return { kind: "event", channel: textOf(fields, "channel", "an event"), event: value as KataEvent, at };
  }
  const payload = fieldsOf(fields.payload, `payload of ${type}`);
  switch (type) {
    case "error":
      return error(payload);
    case "reconnect":
      return reconnect(payload);
    case "authenticated":
      return { kind: "authenticated", id: replyId(payload) };
    case "pong":
      positionOf(fields, type);
      return { kind: "pong", eventId: textOf(fields, "eventId", type), id: replyId(payload) };
    case "subscribed":
      positionOf(fields, type);
      return subscribed(fields, payload);
    case "caught_up":
      positionOf(fields, type);
      return { kind: type, channel: textOf(fields, "channel", type), eventId: textOf(fields, "eventId", type) };
    case "unsubscribed":
      return { kind: type, channel: textOf(fields, "channel", type), id: replyId(payload) };
  }
}

/**
 * The envelopes of a frame: [CONNECT-3].
 *
 * @throws MalformedMessage for a binary frame ([ENVELOPE-1])
 */
export function linesOf(frame: unknown, ndjson: boolean): readonly string[] {
  if (typeof frame !== "string") throw new MalformedMessage("a binary frame");
  return ndjson ? frame.split("\n").filter((line) => line !== "") : [frame];
}
