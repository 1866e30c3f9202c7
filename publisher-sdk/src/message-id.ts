import { createHash, createHmac, randomBytes } from "node:crypto";

/**
 * Message ids of ordinary records: a random 128-bit publisher id and a counter. JetStream deduplicates over the whole
 * stream, so an id that could be guessed would let one team suppress another's events by using it first.
 */
export function createMessageIds(random: Uint8Array = randomBytes(16)): () => string {
  const publisherId = BigInt(`0x${Buffer.from(random).toString("hex")}`).toString(36);
  let count = 0;
  return () => `${publisherId}-${(count++).toString(36)}`;
}

/**
 * The message id of an event with an idempotency key, scoped by its channel's subject and thereby by its team. With
 * a secret it is an HMAC-SHA-256, which nobody without the secret can use first; without one it is a plain hash.
 */
export function idempotentMessageId(subject: string, key: string, secret: string | Uint8Array | undefined): string {
  // A subject has no space, so no other pair of subject and key reads the same.
  const text = `${subject} ${key}`;
  const hash = secret === undefined ? createHash("sha256") : createHmac("sha256", secret);
  return `k-${hash.update(text).digest("base64url")}`;
}
