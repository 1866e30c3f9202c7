import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { fromSeed, type KeyPair } from "@nats-io/jwt";

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
  // Of a seed the first two bytes say what it is, the last two are a checksum.
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8, base32(seed).subarray(2, 34)]),
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
  const raw = base32(name).subarray(1, 33);
  return createPublicKey({ key: Buffer.concat([SPKI, raw]), format: "der", type: "spki" });
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** RFC 4648, without padding. What is no base32 gives bytes that are no key. */
function base32(text: string): Buffer {
  const bytes: number[] = [];
  let bits = 0;
  let held = 0;
  for (const letter of text) {
    held = ((held << 5) | ALPHABET.indexOf(letter)) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((held >> bits) & 0xff);
  }
  return Buffer.from(bytes);
}
