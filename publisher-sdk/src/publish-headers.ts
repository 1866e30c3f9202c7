import type { OutgoingRecord } from "./record.ts";

/** A broker believes no attempt older than a year; one of which nothing is known may be as old as any. */
const MAX_SINCE_MS = 365 * 86_400_000;

/**
 * The headers of an attempt: who the record is, and since when there have been attempts [HTTP-11].
 *
 * @param after an eventId that the log had before the first one; `undefined` if none is known
 * @param now ms since 1970
 */
export function publishHeaders(record: OutgoingRecord, after: string | undefined, now: number): Record<string, string> {
  const { messageId, publishId = messageId, key = messageId } = record.identity;
  const since = record.earlier?.since ?? record.sentAt;
  const again = record.attempts > 1 || record.earlier !== undefined;
  return {
    // An event with a key of its own is published as one: what stands under the key already is not compared with it.
    "content-type": record.keyed && !record.identity.compared ? "application/json" : "application/x-ndjson",
    ...keyHeader(key),
    "kata-publish-id": publishId,
    ...(again
      ? {
          "kata-attempt": `since=${Math.min(MAX_SINCE_MS, Math.max(1, Math.ceil(now - since)))}${after === undefined ? "" : `; after=${after}`}`,
        }
      : {}),
  };
}

/** [HTTP-10] A header takes few characters as they are. */
function keyHeader(key: string): Record<string, string> {
  if (/^[\x21-\x7e]+$/.test(key)) return { "idempotency-key": key };
  return { "kata-idempotency-key": Buffer.from(key).toString("base64url") };
}
