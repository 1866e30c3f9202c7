import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { fromSeed, type KeyPair } from "@nats-io/jwt";
import { publicBytesOf, secretBytesOf } from "./nkey.ts";

// An Ed25519 key in its DER form is a constant and the 32 bytes (RFC 8410).
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI = Buffer.from("302a300506032b6570032100", "hex");

/**
 * A signing key whose signatures are Node's own: those of `@nats-io/jwt`, which is written in JavaScript, take ten
 * milliseconds each, and whoever wants in, with credentials or without, would cost the broker four of them.
 *
 * @throws Error if the seed is none
 */
export function createSigningKey(seed: string): KeyPair {
  const pair = fromSeed(new TextEncoder().encode(seed));
  const publicKey = pair.getPublicKey();
  const privateKey = pair.getPrivateKey();
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8, secretBytesOf(seed)]),
    format: "der",
    type: "pkcs8",
  });
  return {
    getPublicKey: () => publicKey,
    getPrivateKey: () => privateKey,
    getSeed: () => pair.getSeed(),
    sign: (input) => sign(null, input, key),
    verify: (input, signature) => verify(null, input, key, signature),
    seal: pair.seal.bind(pair),
    open: pair.open.bind(pair),
    clear: () => pair.clear(),
  };
}

/** The public key behind a NATS name such as `N…`. */
export function verifyingKey(name: string): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI, publicBytesOf(name)]), format: "der", type: "spki" });
}
