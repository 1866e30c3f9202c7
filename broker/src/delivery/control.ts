import { type ControlMessage, NO_POSITION } from "@kata/protocol/wire";

type Said<T extends ControlMessage["type"]> = Extract<ControlMessage, { type: T }>;

/** Writes a control envelope [ENVELOPE-1]; without `eventId` it stands nowhere [ENVELOPE-4]. */
export function encodeControl<T extends ControlMessage["type"]>(
  type: T,
  payload: Said<T>["payload"],
  place: { readonly channel?: string; readonly eventId?: string } = {},
): Buffer {
  return Buffer.from(
    JSON.stringify({
      type,
      channel: place.channel,
      timestamp: new Date().toISOString(),
      eventId: place.eventId ?? NO_POSITION,
      encoding: "json",
      payload,
    }),
    "utf8",
  );
}
