import { NO_POSITION } from "@kata/protocol/wire";
import { type ChannelRecord, eventIdOf, forEachEvent } from "../delivery/channel-record.ts";
import { encodeControl } from "../delivery/control.ts";
import type { Framing } from "../delivery/framing.ts";

const DATA = Buffer.from("\ndata: ");
const END = Buffer.from("\n\n");

/**
 * Server-Sent Events [STREAM-2]: an event is a message with its eventId as `id`, a control message has its type as
 * `event`, so that the `onmessage` of an EventSource is handed events alone. A record's events are one frame.
 */
export const EVENT_STREAM: Framing = {
  name: "event-stream",
  record(record: ChannelRecord, afterLine, send) {
    const parts: Buffer[] = [];
    forEachEvent(record, afterLine, (envelope, line) => {
      parts.push(Buffer.from(`id: ${eventIdOf(record, line)}`), DATA, envelope, END);
    });
    if (parts.length > 0) send(Buffer.concat(parts));
  },
  control(envelope, type, eventId) {
    const id = eventId === undefined || eventId === NO_POSITION ? "" : `\nid: ${eventId}`;
    return Buffer.concat([Buffer.from(`event: ${type}${id}`), DATA, envelope, END]);
  },
};

/** A pong that nobody asked for: moves the position that the client will resume from, and is not handed to `onmessage`. */
export function positionFrame(eventId: string): Buffer {
  return EVENT_STREAM.control(encodeControl("pong", {}, { eventId }), "pong", eventId);
}

/** How long the client waits before it connects again, milliseconds. */
export function retryFrame(ms: number): Buffer {
  return Buffer.from(`retry: ${Math.round(ms)}\n\n`);
}

/** A comment: shows that the connection lives. */
export const NOTHING: Buffer = Buffer.from(":\n\n");
