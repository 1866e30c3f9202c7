import { isEventType, MAX_EVENT_BYTES, PayloadSchemas } from "@kata/protocol";
import { z } from "zod";

/** One event as it is published over HTTP [HTTP-1]. */
const EventInputSchema = z.strictObject({
  type: z
    .string()
    .refine(isEventType, { message: "must be [a-z][a-z0-9_.]*, at most 128 characters, and no control type" }),
  payload: z.unknown().refine((payload) => payload !== undefined, { message: "is missing" }),
  timestamp: z.iso.datetime({ offset: true }).optional(),
  idempotencyKey: z.string().min(1).max(128).optional(),
});
export type EventInput = z.infer<typeof EventInputSchema>;

const MAX_EVENTS = 1_000;

/** The events of a request body, or one line about the first thing that is wrong with it. */
export function parseEvents(json: unknown): { readonly events: EventInput[] } | { readonly problem: string } {
  const inputs: unknown[] = Array.isArray(json) ? json : [json];
  if (inputs.length === 0) return { problem: "an array of events needs at least one" };
  if (inputs.length > MAX_EVENTS)
    return { problem: `an array of events has at most ${MAX_EVENTS}, this one has ${inputs.length}` };
  const events: EventInput[] = [];
  for (const [index, input] of inputs.entries()) {
    const where = Array.isArray(json) ? `event ${index}: ` : "";
    const parsed = EventInputSchema.safeParse(input);
    if (!parsed.success) return { problem: where + explain(parsed.error) };
    const { type, payload } = parsed.data;
    if (Object.hasOwn(PayloadSchemas, type)) {
      const checked = PayloadSchemas[type as keyof typeof PayloadSchemas].safeParse(payload);
      if (!checked.success) return { problem: `${where}payload of ${type}: ${explain(checked.error)}` };
    }
    const problem = tooMuch(payload);
    if (problem !== undefined) return { problem: where + problem };
    events.push(parsed.data);
  }
  return { events };
}

/** What an event's line holds besides its payload: type, timestamp, keys. */
const FRAME_BYTES = 1_024;

function tooMuch(payload: unknown): string | undefined {
  try {
    return Buffer.byteLength(JSON.stringify(payload)) > MAX_EVENT_BYTES - FRAME_BYTES
      ? "an event has at most 512 KiB"
      : undefined;
  } catch {
    // Parsing takes any depth, writing does not.
    return "the payload is nested too deeply";
  }
}

function explain(error: z.ZodError): string {
  const issue = error.issues[0];
  const path = issue?.path.map(String).join(".") ?? "";
  return `${path === "" ? "" : `${path}: `}${issue?.message ?? "invalid"}`;
}
