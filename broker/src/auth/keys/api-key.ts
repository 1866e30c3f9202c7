import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** The parts of `kat_live_<keyId>_<secret>`. */
export interface ApiKey {
  readonly keyId: string;
  readonly secret: string;
}

const FORM = /^kat_live_([A-Za-z0-9-]{1,64})_([A-Za-z0-9]{16,128})$/;
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** 43 of 62 letters hold 256 bits. */
const SECRET_LENGTH = 43;
const KEY_ID_LENGTH = 16;

export function parseApiKey(text: string): ApiKey | undefined {
  const [, keyId, secret] = FORM.exec(text) ?? [];
  return keyId === undefined || secret === undefined ? undefined : { keyId, secret };
}

export function formatApiKey({ keyId, secret }: ApiKey): string {
  return `kat_live_${keyId}_${secret}`;
}

export function createKeyId(): string {
  return randomText(KEY_ID_LENGTH);
}

export function createSecret(): string {
  return randomText(SECRET_LENGTH);
}

/** What is stored of a secret. It is 256 random bits: a slow hash would protect nothing and cost every connection. */
export function hashSecret(secret: string): string {
  return createHash("sha256").update(secret, "utf8").digest("base64url");
}

/** Takes as long for a wrong hash as for the right one. */
export function equalHashes(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

function randomText(length: number): string {
  let text = "";
  while (text.length < length) {
    // A byte of 248 or more would make the first letters likelier.
    for (const byte of randomBytes(length)) if (byte < 248 && text.length < length) text += ALPHABET[byte % 62];
  }
  return text;
}
