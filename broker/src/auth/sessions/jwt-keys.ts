import type { JWTVerifyGetKey } from "jose";

/** What tokens are verified with. The kind of key says which algorithms count, whatever a token's header asks for. */
export interface JwtKeys {
  readonly algorithms: readonly string[];
  /** The key for a token, by its header. Rejects with jose's `JWKSNoMatchingKey` if it is known that there is none. */
  readonly find: JWTVerifyGetKey;
}

/** Those for which a public key verifies: a shared secret has no place among them (RFC 8725 §2.1, §3.1). */
export const PUBLIC_KEY_ALGORITHMS: readonly string[] = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
];

/** A key of HS256 is at least as long as its hash (RFC 7518 §3.2). */
const MIN_SECRET_BYTES = 32;

/**
 * One secret that issuer and broker share, as UTF-8 text, for HS256.
 *
 * @throws TypeError if it has fewer than 32 bytes
 */
export function sharedSecret(secret: string): JwtKeys {
  const key = new TextEncoder().encode(secret);
  if (key.byteLength < MIN_SECRET_BYTES) throw new TypeError("a secret for HS256 needs at least 32 bytes");
  return { algorithms: ["HS256"], find: async () => key };
}
