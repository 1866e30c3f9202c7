import { createHash, createHmac, randomBytes } from "node:crypto";

const ID_BYTES = 16;
/** Random bytes are asked for in bulk: so many cost little more than those of one id. */
const POOL_BYTES = 256 * ID_BYTES;

/**
 * Message ids of ordinary records: 128 random bits each. JetStream deduplicates over the whole stream, so an id that could
 * be guessed would let one team suppress another's events by using it first; and it tells any publisher who asks the last id
 * that it stored (`Nats-Expected-Last-Msg-Id`), so none may follow from another.
 */
export function createMessageIds(random: (bytes: number) => Uint8Array = randomBytes): () => string {
  let pool = Buffer.alloc(0);
  return () => {
    if (pool.length === 0) pool = Buffer.from(random(POOL_BYTES));
    const id = pool.toString("base64url", 0, ID_BYTES);
    pool = pool.subarray(ID_BYTES);
    return id;
  };
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
