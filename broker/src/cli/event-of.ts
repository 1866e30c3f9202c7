import type { EventInput } from "@kata/publisher";
import { parseEvents } from "../event-input.ts";
import { UsageError } from "./usage-error.ts";

/** @throws UsageError for a payload that events of this type do not have */
export function eventOf(type: string, payload: unknown): EventInput {
  const parsed = parseEvents({ type, payload });
  if ("problem" in parsed) throw new UsageError(parsed.problem);
  return { type, payload };
}

/** @throws UsageError for what is none */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`not JSON: ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`);
  }
}
