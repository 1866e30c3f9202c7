import { randomBytes } from "node:crypto";
import { fromSeed } from "@nats-io/jwt";
import nacl from "tweetnacl";
import { publicBytesOf, secretBytesOf } from "./nkey.ts";

/** What is sealed begins with its version and a nonce; the rest is NaCl's box (X25519, XSalsa20, Poly1305). */
const VERSION = Buffer.from("xkv1");
const NONCE_BYTES = 24;
/** Each nats-server has one key, made at its start. */
const MAX_SHARED = 64;

/** The broker's curve key: it opens what nats-server has sealed for it, and seals answers. */
export interface CurveKey {
  /** What `sender` has sealed; `undefined` if it was for another key, or is not sealed at all. */
  open(sealed: Uint8Array, sender: string): Uint8Array | undefined;
  seal(message: Uint8Array, recipient: string): Uint8Array;
}

/**
 * The same as that of `@nats-io/jwt`, but what two keys share is computed once for each server, not for each message: that
 * takes thirty times as long as all the rest, and strangers can make nats-server ask.
 *
 * @throws Error if the seed is none of a curve key
 */
export function createCurveKey(seed: string): CurveKey {
  if (!fromSeed(new TextEncoder().encode(seed)).getPublicKey().startsWith("X")) throw new Error("it is no curve key");
  const secret = secretBytesOf(seed);
  const shared = new Map<string, Uint8Array>();
  const sharedWith = (name: string): Uint8Array => {
    let key = shared.get(name);
    if (key === undefined) {
      if (!/^X[A-Z2-7]{55}$/.test(name)) throw new Error("it names no curve key");
      key = nacl.box.before(publicBytesOf(name), secret);
      const [oldest] = shared.keys();
      if (shared.size >= MAX_SHARED && oldest !== undefined) shared.delete(oldest);
      shared.set(name, key);
    }
    return key;
  };
  return {
    open(sealed, sender) {
      const begin = VERSION.length + NONCE_BYTES;
      if (sealed.length <= begin || !VERSION.equals(sealed.subarray(0, VERSION.length))) return undefined;
      const nonce = sealed.subarray(VERSION.length, begin);
      // What its types call `false` is `null`.
      return nacl.box.open.after(sealed.subarray(begin), nonce, sharedWith(sender)) || undefined;
    },
    seal(message, recipient) {
      const nonce = randomBytes(NONCE_BYTES);
      return Buffer.concat([VERSION, nonce, nacl.box.after(message, nonce, sharedWith(recipient))]);
    },
  };
}
