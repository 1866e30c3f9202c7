import type { ErrorPayload } from "@kata/protocol/wire";
import { failureOf, type Outcome, type PublishDeps, type Stored } from "./publish-port.ts";
import type { Refusal } from "./refusal.ts";
import { errorPayload } from "./wire-error.ts";

/** One event's result in an answer [HTTP-7]. */
export type Result = Stored | { readonly error: ErrorPayload };

/** The answer to a publish of one event or an array. */
export interface Results {
  readonly status: 201 | 207;
  readonly body: { readonly eventIds?: readonly string[]; readonly results: readonly Result[] };
}

/**
 * [HTTP-7] What is said of events that were published: all stored, some, or the one reason for which none was. Where
 * not all were stored there is no list of eventIds, which somebody could take for that of all.
 */
export function resultsOf(outcomes: readonly Outcome[], deps: PublishDeps): Results | Refusal {
  const results = outcomes.map((outcome): Result => {
    if (!("error" in outcome)) return { eventId: outcome.eventId, duplicate: outcome.duplicate };
    const { code, message } = failureOf(outcome.error, deps);
    return { error: errorPayload(code, message) };
  });
  const eventIds: string[] = [];
  const errors: ErrorPayload[] = [];
  for (const result of results) {
    if ("error" in result) errors.push(result.error);
    else eventIds.push(result.eventId);
  }
  const [first] = errors;
  if (first === undefined) return { status: 201, body: { eventIds, results } };
  if (eventIds.length === 0 && errors.every(({ code }) => code === first.code)) return first;
  return { status: 207, body: { results } };
}
