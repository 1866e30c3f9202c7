/**
 * A place in the log and the proof of it: `{epoch}-{seq}-{check}`, with `.{n}` for the n-th further event of a
 * record. Opaque to clients.
 */
export interface EventId {
  /** When the stream was created, base36 milliseconds: a stream that was deleted and made anew has another. */
  readonly epoch: string;
  /** The record's sequence in the stream; 0 is the place before the first. */
  readonly seq: number;
  /** Four base36 characters of a hash of the record's `Nats-Msg-Id`, see {@link checkOf}. */
  readonly check: string;
  /** Which event of the record, from 0. */
  readonly n: number;
}

const EVENT_ID = /^([0-9a-z]{1,11})-(0|[1-9][0-9]{0,14})-([0-9a-z]{4})(?:\.([1-9][0-9]{0,6}))?$/;

/** The check of sequence 0, where no record can stand. */
export const ORIGIN_CHECK = "0000";

/** [ENVELOPE-4] The eventId of control messages that stand nowhere in the log. */
export const NO_POSITION = "0-0-0000";

/** Reads an eventId; `undefined` for anything that is not one. */
export function parseEventId(text: unknown): EventId | undefined {
  if (typeof text !== "string") return undefined;
  const match = EVENT_ID.exec(text);
  if (match === null) return undefined;
  return {
    epoch: match[1] as string,
    seq: Number(match[2]),
    check: match[3] as string,
    n: match[4] === undefined ? 0 : Number(match[4]),
  };
}

/** Writes an eventId; the first event of a record (`n` 0) has no suffix. */
export function formatEventId(epoch: string, seq: number, check: string, n = 0): string {
  return n === 0 ? `${epoch}-${seq}-${check}` : `${epoch}-${seq}-${check}.${n}`;
}

/** What further events' ids end with, by their n, as far as it was needed: most records are no longer. */
const suffixes: string[] = [];
const SUFFIXES_KEPT = 1_000;

/** The eventId of the n-th further event of a record, from that of its first. Cheaper than {@link formatEventId} for all of them. */
export function furtherEventId(first: string, n: number): string {
  return n === 0 ? first : first + (suffixes[n] ?? suffixOf(n));
}

function suffixOf(n: number): string {
  const suffix = `.${n}`;
  if (n < SUFFIXES_KEPT) suffixes[n] = suffix;
  return suffix;
}

/** The position before the first record of a stream. */
export function originOf(epoch: string): string {
  return `${epoch}-0-${ORIGIN_CHECK}`;
}

/**
 * The epoch of a stream from the `created` field of its STREAM.INFO (RFC 3339).
 *
 * @throws TypeError if `created` is no date.
 */
export function epochOf(created: string): string {
  const ms = Date.parse(created);
  if (!Number.isSafeInteger(ms) || ms < 0) throw new TypeError(`stream creation time is no date: ${created}`);
  return ms.toString(36);
}

const CHECK_SPACE = 36 ** 4;

/**
 * The four characters that tell one record from another at the same sequence: FNV-1a (32 bit) over the UTF-8 bytes,
 * mixed with MurmurHash3's finalizer (FNV alone leaves ids that differ in their last characters close together), modulo 36⁴.
 *
 * @param identity the record's `Nats-Msg-Id`, or its stored bytes where it has none
 */
export function checkOf(identity: string | Uint8Array): string {
  const hash = typeof identity === "string" ? hashOfText(identity) : hashOf(identity);
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  mixed = (mixed ^ (mixed >>> 16)) >>> 0;
  return (mixed % CHECK_SPACE).toString(36).padStart(4, "0");
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

function hashOf(bytes: Uint8Array): number {
  let hash = FNV_OFFSET;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ (bytes[i] as number), FNV_PRIME);
  return hash;
}

/** Ids are ASCII as a rule, whose bytes are its characters: no reason to encode them. */
function hashOfText(text: string): number {
  let hash = FNV_OFFSET;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char >= 0x80) return hashOf(utf8(text));
    hash = Math.imul(hash ^ char, FNV_PRIME);
  }
  return hash;
}

let encoder: InstanceType<typeof TextEncoder> | undefined;

/** Made when first needed: a client that only reads event ids runs on hosts without a TextEncoder, too. */
function utf8(text: string): Uint8Array {
  encoder ??= new TextEncoder();
  return encoder.encode(text);
}
