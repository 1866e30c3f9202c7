import { parseEventId } from "@kata/protocol/wire";
import { PublisherError } from "./errors.ts";
import { type EventInput, isKey } from "./event.ts";
import type { PublishManyOptions } from "./publish-options.ts";
import type { EarlierAttempt } from "./record.ts";

/** Who events are that travel under one key. */
export interface UnderOneKey {
  readonly key: string;
  readonly compared: boolean;
  readonly publishId: string;
  readonly earlier: EarlierAttempt | undefined;
}

/** What one record holds, and what is needed to say who it is. */
export interface OneRecord {
  readonly maxEvents: number;
  maxBytes(): number;
  /** Ms since 1970. */
  now(): number;
  nextPublishId(): string;
}

/**
 * Who events with one key are; `undefined` if they have none.
 *
 * @param lines what they are written as
 * @throws PublisherError `invalid_event`, `too_large`; TypeError for an attempt that is none
 */
export function underOneKey(
  events: readonly EventInput[],
  lines: readonly string[],
  { idempotencyKey, attempt, compare = true }: PublishManyOptions,
  one: OneRecord,
): UnderOneKey | undefined {
  if (idempotencyKey === undefined) {
    if (attempt === undefined) return undefined;
    throw new TypeError("an attempt needs an idempotencyKey");
  }
  if (!isKey(idempotencyKey)) {
    throw new PublisherError("invalid_event", "idempotencyKey must be a string of 1 to 128 characters");
  }
  if (events.some((event) => event.idempotencyKey !== undefined)) {
    throw new PublisherError("invalid_event", "events under one idempotencyKey have none of their own");
  }
  const bytes = lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, -1);
  const maxBytes = one.maxBytes();
  if (events.length > one.maxEvents || bytes > maxBytes) {
    const most = `at most ${one.maxEvents} events and ${maxBytes} bytes`;
    throw new PublisherError("too_large", `${most} travel under one idempotencyKey: use one for each part`);
  }
  const compared = compare || events.length > 1;
  const key = idempotencyKey;
  if (attempt === undefined) return { key, compared, publishId: one.nextPublishId(), earlier: undefined };
  const { publishId, sinceMs, after } = attempt;
  if (typeof publishId !== "string" || !/^[A-Za-z0-9_-]{1,64}$/.test(publishId) || !(sinceMs >= 0)) {
    throw new TypeError("an attempt has a publishId [A-Za-z0-9_-]{1,64} and a sinceMs of 0 or more");
  }
  if (after !== undefined && parseEventId(after) === undefined) throw new TypeError("an attempt's after is an eventId");
  const earlier = sinceMs === 0 ? undefined : { since: one.now() - sinceMs, after };
  return { key, compared, publishId, earlier };
}
