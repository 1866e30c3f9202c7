import { createHash } from "node:crypto";
import { MAX_RECORD_BYTES } from "@kata/protocol/wire";
import { type EventInput, lineBytes, MAX_EVENTS, parseEvent, RECORD_BYTES } from "../event-input.ts";
import type { Line } from "./ndjson-lines.ts";
import { parseJson } from "./publish-json.ts";
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
 * keys of their own are gathered into runs that are one record each, as a rule: where it fails, nothing behind it is on its way yet.
 * One that has a key is a batch by itself.
 */
export class Batches {
  readonly #keyed: boolean;
  readonly #maxCost: number;
  #items: Item[] = [];
  /** What they have in the body, and what they may come to in a record. */
  #bytes = 0;
  #cost = 0;

  constructor(keyed: boolean) {
    this.#keyed = keyed;
    this.#maxCost = keyed ? MAX_RECORD_BYTES : RECORD_BYTES;
  }

  /** Bytes of the lines that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The batches that are complete with this line: none, one, or two where it is one by itself. */
  add(line: Line): Batch[] {
    const item = readLine(line, this.#keyed);
    const bytes = line.bytes?.length ?? 0;
    const cost = 1 + (item.event === undefined ? bytes : this.#costOf(item.event, bytes));
    const alone = item.event?.idempotencyKey !== undefined;
    const full: Batch[] = [];
    // The line feed behind the last line is not there.
    if (alone || this.#cost + cost - 1 > this.#maxCost) full.push(...this.rest());
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

  /** What an event may come to in a record. Without a key it need not be the same each time, and is not written to be measured. */
  #costOf(event: EventInput, bytes: number): number {
    return this.#keyed ? Math.max(bytes, lineBytes(event)) : bytes + MAX_ADDED;
  }
}

/** A line without a timestamp gets one, bytes. */
const MAX_ADDED = 64;

/** An idempotency key may be so long that no number fits behind it. */
const MAX_NUMBERED = 112;

/** [HTTP-10] The key of a stream's n-th batch, from 0: the stream's own is that of the first. */
export function batchKey(key: string, n: number): string {
  if (n === 0) return key;
  return `${key.length <= MAX_NUMBERED ? key : createHash("sha256").update(key).digest("base64url")}#${n}`;
}

function readLine({ index, bytes }: Line, keyed: boolean): Item {
  if (bytes === undefined) return { index, refusal: { code: "too_large", message: "a line has at most 512 KiB" } };
  const read = parseJson(bytes, "the line");
  if ("problem" in read) return { index, refusal: { code: "invalid_json", message: read.problem } };
  const parsed = parseEvent(read.json, bytes.length);
  if ("problem" in parsed) return { index, refusal: { code: "invalid_event", message: parsed.problem } };
  if (keyed && parsed.event.idempotencyKey !== undefined) {
    const message = "an event of a request with an Idempotency-Key has no idempotencyKey of its own";
    return { index, refusal: { code: "bad_request", message } };
  }
  return { index, event: parsed.event };
}
