import { z } from "zod";
import { ERRORS, type ErrorCode, GAP_REASONS } from "./codes.ts";
import { parseEventId } from "./event-id.ts";
import { CommandIdSchema } from "./inbound.ts";
import { PayloadSchemas } from "./payloads.ts";
import { CONTROL_TYPES, EVENT_TYPES, isEventType } from "./types.ts";

const timestamp = z.string().min(1);
const eventId = z.string().refine((text) => parseEventId(text) !== undefined, { message: "not an eventId" });
const encoding = z.literal("json");
const channel = z.string();
// A stranger's may be malformed, which is a reader's to see [ENVELOPE-7].
const traceparent = z.string().optional();
const id = CommandIdSchema.optional();
const known: ReadonlySet<string> = new Set(EVENT_TYPES);

/** Any type an envelope can have: an event's, the application's own included, or a control type. */
export const OutboundTypeSchema = z.union([
  z.enum(CONTROL_TYPES),
  z.enum(EVENT_TYPES),
  z.string().refine(isEventType, { message: "not an event type" }),
]);
export type OutboundType = z.infer<typeof OutboundTypeSchema>;

function event<T extends keyof typeof PayloadSchemas>(type: T) {
  const payload = PayloadSchemas[type];
  return z.object({ type: z.literal(type), channel, timestamp, eventId, encoding, traceparent, payload });
}

/** An event of a type that this protocol knows. */
export const KnownEventSchema = z.discriminatedUnion("type", [
  event("agent_status_changed"),
  event("log_entry"),
  event("spec_updated"),
  event("task_completed"),
  event("blocker_raised"),
  event("stream_ended"),
]);

/** An event of a type of the application's own. */
export const ApplicationEventSchema = z.object({
  type: z.string().refine((type) => isEventType(type) && !known.has(type), { message: "not an application type" }),
  channel,
  timestamp,
  eventId,
  encoding,
  traceparent,
  payload: z.unknown(),
});

function control<T extends (typeof CONTROL_TYPES)[number], P extends z.ZodType>(type: T, payload: P) {
  return z.object({ type: z.literal(type), timestamp, eventId, encoding, payload });
}

export const SubscribedSchema = control(
  "subscribed",
  z.object({ recovery: z.enum(["fresh", "complete", "gap"]), reason: z.enum(GAP_REASONS).optional(), id }),
).extend({ channel });
export const CaughtUpSchema = control("caught_up", z.object({})).extend({ channel });
export const UnsubscribedSchema = control("unsubscribed", z.object({ id })).extend({ channel });
export const ErrorSchema = control(
  "error",
  z.object({
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    message: z.string(),
    retryable: z.boolean(),
    id,
    channel: channel.optional(),
    expiresAt: z.string().optional(),
  }),
);
export const PongSchema = control("pong", z.object({ id }));
export const AuthenticatedSchema = control(
  "authenticated",
  z.object({ teamId: z.string(), expiresAt: z.string().optional(), id }),
);
export const ReconnectSchema = control("reconnect", z.object({ afterMs: z.number().min(0) }));

/** Everything the broker says on its own account. */
export const ControlMessageSchema = z.discriminatedUnion("type", [
  SubscribedSchema,
  CaughtUpSchema,
  UnsubscribedSchema,
  ErrorSchema,
  PongSchema,
  AuthenticatedSchema,
  ReconnectSchema,
]);
export type ControlMessage = z.infer<typeof ControlMessageSchema>;

/** Every envelope that `/ws` can send. */
export const OutboundMessageSchema = z.union([ControlMessageSchema, KnownEventSchema, ApplicationEventSchema]);
export type OutboundMessage = z.infer<typeof OutboundMessageSchema>;
