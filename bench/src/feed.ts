import { encodeEvent } from "@kata/protocol/wire";
import type { EventInput, Publisher, PublishResult } from "@kata/publisher";
import type { Herd } from "../../tests/support/herd.ts";
import { numberedEvent } from "../../tests/support/numbered-event.ts";
import type { BareServer } from "./bare.ts";
import { envelopesOf, type SentRecord } from "./envelopes.ts";

/** Bytes of an event's line, as in all scenarios; its envelope is about 55 longer. */
export const LINE_BYTES = 230;

/**
 * How a stream of events is paced, the same for every system: at most `window` events are on their way to the slowest reader. Without it the publisher, which is many times faster than any fan-out, would only fill buffers, and what is measured
 * would be how each system treats slow readers.
 */
export interface Pace {
  readonly herd: Herd;
  /** Events that are published at once, so that they share records. */
  readonly burst: number;
  readonly window: number;
}

/** Publishes the events `[from, from + events)` and returns when every reader has counted them. */
export async function feedKata(
  publisher: Publisher,
  channel: string,
  { herd, burst, window }: Pace,
  from: number,
  events: number,
): Promise<SentRecord[]> {
  const lines: string[] = [];
  const published: Promise<PublishResult>[] = [];
  while (lines.length < events) {
    await herd.reached(from + lines.length + burst - window);
    const some = numberedLines(from + lines.length, Math.min(burst, events - lines.length));
    for (const event of some.events) published.push(publisher.publish(channel, event));
    lines.push(...some.lines);
  }
  const results = await Promise.all(published);
  await herd.reached(from + events);
  return envelopesOf(channel, lines, results);
}

/** Publishes the events `[from, from + events)` while nobody reads, `burst` at a time. */
export async function publishHistory(
  publisher: Publisher,
  channel: string,
  burst: number,
  from: number,
  events: number,
): Promise<SentRecord[]> {
  const lines: string[] = [];
  const results: PublishResult[] = [];
  while (lines.length < events) {
    const some = numberedLines(from + lines.length, Math.min(burst, events - lines.length));
    results.push(...(await publisher.publishMany(channel, some.events)));
    lines.push(...some.lines);
  }
  return envelopesOf(channel, lines, results);
}

/** Numbered events and the lines that a publisher makes of them. */
function numberedLines(from: number, count: number): { events: EventInput[]; lines: string[] } {
  const timestamp = new Date().toISOString();
  const events = Array.from({ length: count }, (_, i) => ({ ...numberedEvent(from + i, LINE_BYTES), timestamp }));
  return { events, lines: events.map(({ type, payload }) => encodeEvent(type, timestamp, payload) ?? "") };
}

/** Gives the bare server the same envelopes in the same records, paced the same way, one in flight as Kata's publisher has it. */
export async function feedBare(
  bare: BareServer,
  records: readonly SentRecord[],
  { herd, burst, window }: Pace,
  from: number,
): Promise<void> {
  let sent = 0;
  let looked = 0;
  for (const record of records) {
    if (sent + record.events > looked) {
      looked = sent + burst;
      await herd.reached(from + sent + Math.max(burst, record.events) - window);
    }
    await bare.publish(record.bytes);
    sent += record.events;
  }
  await herd.reached(from + sent);
}
