import { PublisherError, type PublisherErrorCode, type Stored } from "./errors.ts";

/** What a broker answers to a publish [HTTP-7], [HTTP-8]; of anybody else each of it may be anything. */
export interface Answer {
  /** Of a stream. */
  readonly published?: unknown;
  readonly failed?: unknown;
  readonly first?: unknown;
  readonly duplicates?: unknown;
  readonly errors?: readonly { readonly index?: unknown; readonly code?: unknown; readonly message?: unknown }[];
  /** Of a single event. */
  readonly results?: readonly { readonly eventId?: unknown; readonly duplicate?: unknown }[];
}

/** What a broker says of events, or of a key, that no later attempt changes; all else passes, or is mended where the way leads. */
export const FINAL: ReadonlyMap<unknown, PublisherErrorCode> = new Map([
  ["invalid_channel", "invalid_channel"],
  ["invalid_event", "invalid_event"],
  ["invalid_json", "invalid_event"],
  ["bad_request", "invalid_event"],
  ["too_large", "too_large"],
  ["taken", "key_taken"],
  ["unauthenticated", "unauthenticated"],
  ["forbidden", "forbidden"],
]);

/** A broker looks closer at events than NATS does: those that it refuses are told by their places. */
export function refusedOf({ errors = [] }: Answer, stored: Stored): Map<number, PublisherError> {
  const refused = new Map<number, PublisherError>();
  for (const { index, code, message } of errors) {
    if (typeof index !== "number") continue;
    const why = `the broker refuses it: ${message}`;
    refused.set(index, new PublisherError(FINAL.get(code) ?? "rejected", why, { stored }));
  }
  return refused;
}
