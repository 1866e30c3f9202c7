/** The 32 bytes of a secret key. Of a seed (`S…`) the first two bytes say what it is, the last two are a checksum. */
export function secretBytesOf(seed: string): Buffer {
  return base32(seed).subarray(2, 34);
}

/** The 32 bytes of a public key (`N…`, `X…`). Of its name the first byte says what it is, the last two are a checksum. */
export function publicBytesOf(name: string): Buffer {
  return base32(name).subarray(1, 33);
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
