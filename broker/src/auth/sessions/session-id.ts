import { createHash, randomBytes } from "node:crypto";

/** How an opaque session id begins: nothing else that is presented as a bearer token does. */
export const SESSION_PREFIX = "kss_";
/** 43 characters of base64url hold 256 bits. */
const FORM = /^kss_[A-Za-z0-9_-]{43}$/;
const HASH = /^[0-9a-f]{64}$/;

export function createSessionId(): string {
  return SESSION_PREFIX + randomBytes(32).toString("base64url");
}

/**
 * What is stored of an id, and names the session where the id itself must not be seen; `undefined` for what is no id. It
 * is 256 random bits: a slow hash would protect nothing.
 */
export function hashSessionId(text: string): string | undefined {
  return FORM.test(text) ? createHash("sha256").update(text, "utf8").digest("hex") : undefined;
}

export function isSessionHash(text: string): boolean {
  return HASH.test(text);
}
