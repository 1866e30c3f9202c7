import type { Random } from "../support/random.ts";

/** A whole number in [0, n). */
export function below(random: Random, n: number): number {
  return Math.floor(random() * n);
}

export function pick<T>(random: Random, list: readonly [T, ...T[]] | readonly T[]): T {
  return list[below(random, list.length)] as T;
}

export function chance(random: Random, probability: number): boolean {
  return random() < probability;
}

/** One of the makers, each as likely as its weight says. */
export function weighted<T>(random: Random, makers: readonly (readonly [weight: number, make: () => T])[]): T {
  let left = random() * makers.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, make] of makers) {
    left -= weight;
    if (left < 0) return make();
  }
  return (makers.at(-1) as readonly [number, () => T])[1]();
}

/** Random bytes. */
export function noise(random: Random, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = below(random, 256);
  return bytes;
}

/** Bytes with one to four places changed: flipped, taken out, put in, repeated, cut off. */
export function damaged(random: Random, bytes: Buffer): Buffer {
  let result = Buffer.from(bytes);
  for (let left = 1 + below(random, 4); left > 0; left--) {
    const at = below(random, result.length + 1);
    const to = Math.min(result.length, at + 1 + below(random, 8));
    result = weighted(random, [
      [4, () => flipped(random, result, at)],
      [2, () => Buffer.concat([result.subarray(0, at), result.subarray(to)])],
      [2, () => Buffer.concat([result.subarray(0, at), noise(random, 1 + below(random, 4)), result.subarray(at)])],
      [1, () => Buffer.concat([result.subarray(0, to), result.subarray(at)])],
      [1, () => result.subarray(0, at)],
    ]);
  }
  return result;
}

function flipped(random: Random, bytes: Buffer, at: number): Buffer<ArrayBuffer> {
  const result = Buffer.from(bytes);
  if (at < result.length) result[at] = (result[at] as number) ^ (1 << below(random, 8));
  return result;
}

/** The same bytes in pieces. */
export function pieces(random: Random, bytes: Buffer, most: number): Buffer[] {
  const cuts = Array.from({ length: below(random, most) }, () => below(random, bytes.length + 1)).sort((a, b) => a - b);
  return [...cuts, bytes.length].map((end, i) => bytes.subarray(i === 0 ? 0 : cuts[i - 1], end));
}

/** What an input was, short enough to be read. */
export function shown(bytes: Buffer | string): string {
  const text = typeof bytes === "string" ? bytes : bytes.toString("latin1");
  const short = text.length > 600 ? `${text.slice(0, 400)}…(${text.length} bytes)…${text.slice(-100)}` : text;
  return JSON.stringify(short);
}
