import { createHash, createHmac, randomBytes } from "node:crypto";

/** Characters of base64url: 132 bits. */
const ID_CHARS = 22;
/** Random bytes are asked for in bulk: so many, for 256 ids, cost little more than those of one. */
const POOL_BYTES = (256 * ID_CHARS * 6) / 8;

/**
 * Message ids of ordinary records: more than 128 random bits each. JetStream deduplicates over the whole stream, so an id that could
 * be guessed would let one team suppress another's events by using it first; and it tells any publisher who asks the last id
 * that it stored (`Nats-Expected-Last-Msg-Id`), so none may follow from another.
 */
export function createMessageIds(random: (bytes: number) => Uint8Array = randomBytes): () => string {
  // Not as a string: each id that is cut out of one would keep all of it.
  let pool = Buffer.alloc(0);
  let at = 0;
  return () => {
    if (at >= pool.length) {
      pool = Buffer.from(Buffer.from(random(POOL_BYTES)).toString("base64url"), "latin1");
      at = 0;
    }
    at += ID_CHARS;
    return pool.toString("latin1", at - ID_CHARS, at);
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
