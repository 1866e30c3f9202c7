import { readFile } from "node:fs/promises";
import type { JSONWebKeySet } from "jose";
import { z } from "zod";
import { boundedFetch } from "../bounded-fetch.ts";

/** A key set that cannot be used. The message is one line without its contents. */
export class KeySetError extends Error {
  readonly code = "jwks_unusable";
  constructor(message: string) {
    super(message);
    this.name = "KeySetError";
  }
}

const MAX_BYTES = 256 * 1024;
const MAX_KEYS = 64;

const KeySetSchema = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(MAX_KEYS) });

/** Reads a key set from a file. Rejects with KeySetError. */
export function keySetFile(path: string): () => Promise<JSONWebKeySet> {
  return async () => {
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
      throw new KeySetError(`the key set cannot be read (${code})`);
    }
    return parseKeySet(text);
  };
}

/** Fetches a key set over HTTP. Rejects with BoundedFetchError or KeySetError. */
export function keySetUrl(url: string, timeoutMs: number): () => Promise<JSONWebKeySet> {
  return async () => {
    const { status, body } = await boundedFetch(url, { timeoutMs, maxBytes: MAX_BYTES });
    if (status !== 200) throw new KeySetError(`the key set's address answered ${status}`);
    return parseKeySet(body);
  };
}

/** @throws KeySetError */
export function parseKeySet(text: string): JSONWebKeySet {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new KeySetError("the key set is no JSON");
  }
  const parsed = KeySetSchema.safeParse(json);
  if (!parsed.success) throw new KeySetError(`a key set is {"keys": [...]} with at most ${MAX_KEYS} keys`);
  const { keys } = parsed.data;
  // Whoever can read the set could sign with such a key.
  if (keys.some((key) => "d" in key || "k" in key)) {
    throw new KeySetError("the key set holds a private or shared key: give public keys only");
  }
  if (keys.length === 0) throw new KeySetError("the key set holds no key");
  return { keys };
}
