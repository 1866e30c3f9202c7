import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { MAX_RECORD_BYTES } from "@kata/protocol/wire";
import { type EventInput, lineBytes, MAX_EVENTS, parseEvent } from "../event-input.ts";
import type { Line } from "./ndjson-lines.ts";
import type { Refusal } from "./refusal.ts";

/** What a line of a stream turned out to be. */
export type Item =
  | { readonly index: number; readonly event: EventInput; readonly refusal?: undefined }
  | { readonly index: number; readonly event?: undefined; readonly refusal: Refusal };

/** Lines of a stream that are published, and answered, together. */
export interface Batch {
  readonly items: readonly Item[];
  /** What they had in the body, bytes. */
  readonly bytes: number;
}

/**
 * Gathers lines into batches. A stream under an idempotency key is cut by its content alone: into the largest runs of at
 * most 1,000 lines and 512 KiB, so that the same body comes to the same records however it travels [HTTP-10]. Without one, events without
 * keys of their own are gathered, and one that has a key is a batch by itself.
 */
export class Batches {
  readonly #keyed: boolean;
  #items: Item[] = [];
  /** What they have in the body, and what they may come to in a record. */
  #bytes = 0;
  #cost = 0;

  constructor(keyed: boolean) {
    this.#keyed = keyed;
  }

  /** Bytes of the lines that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The batches that are complete with this line: none, one, or two where it is one by itself. */
  add(line: Line): Batch[] {
    const item = readLine(line, this.#keyed);
    const bytes = line.bytes?.length ?? 0;
    const cost = 1 + (item.event === undefined ? bytes : Math.max(bytes, this.#keyed ? lineBytes(item.event) : bytes));
    const alone = item.event?.idempotencyKey !== undefined;
    const full: Batch[] = [];
    // The line feed behind the last line is not there.
    if (alone || this.#cost + cost - 1 > MAX_RECORD_BYTES) full.push(...this.rest());
    this.#items.push(item);
    this.#bytes += bytes;
    this.#cost += cost;
    if (alone || this.#items.length >= MAX_EVENTS) full.push(...this.rest());
    return full;
  }

  /** What waits, if anything does. */
  rest(): Batch[] {
    if (this.#items.length === 0) return [];
    const batch = { items: this.#items, bytes: this.#bytes };
    this.#items = [];
    this.#bytes = 0;
    this.#cost = 0;
    return [batch];
  }
}

/** An idempotency key may be so long that no number fits behind it. */
const MAX_NUMBERED = 112;

/** [HTTP-10] The key of a stream's n-th batch, from 0: the stream's own is that of the first. */
export function batchKey(key: string, n: number): string {
  if (n === 0) return key;
  return `${key.length <= MAX_NUMBERED ? key : createHash("sha256").update(key).digest("base64url")}#${n}`;
}

function readLine({ index, bytes }: Line, keyed: boolean): Item {
  if (bytes === undefined) return { index, refusal: { code: "too_large", message: "a line has at most 512 KiB" } };
  let json: unknown;
  try {
    if (!isUtf8(bytes)) throw new SyntaxError("not UTF-8");
    json = JSON.parse(bytes.toString("utf8"));
  } catch {
    return { index, refusal: { code: "invalid_json", message: "the line is not JSON" } };
  }
  const parsed = parseEvent(json, bytes.length);
  if ("problem" in parsed) return { index, refusal: { code: "invalid_event", message: parsed.problem } };
  if (keyed && parsed.event.idempotencyKey !== undefined) {
    const message = "an event of a request with an Idempotency-Key has no idempotencyKey of its own";
    return { index, refusal: { code: "bad_request", message } };
  }
  return { index, event: parsed.event };
}
