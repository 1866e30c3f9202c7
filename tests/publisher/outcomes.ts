import {
  type Publisher,
  PublisherError,
  type PublisherErrorCode,
  type PublishResult,
  type Stored,
} from "@kata/publisher";
import { expect } from "vitest";
import type { LogRecord } from "../support/stream.ts";

/** What became of each event that was published: where it is, why it is not, or nothing yet. By its number. */
export interface Outcomes {
  readonly channel: string;
  readonly all: readonly (PublishResult | PublisherError | undefined)[];
  /** How many were rejected so. */
  rejected(code: PublisherErrorCode, stored: Stored): number;
  /** Publishes no more; resolves when everything is settled. */
  stop(): Promise<void>;
}

/** Publishes events {i} with i from 0 on the channel, with at most `window` unsettled, whatever becomes of them, until it is stopped. */
export function publishOn(publisher: Publisher, channel: string, window: number): Outcomes {
  const all: (PublishResult | PublisherError | undefined)[] = [];
  const rejections = new Map<string, number>();
  let stopped = false;
  const worker = async (): Promise<void> => {
    while (!stopped) {
      const i = all.push(undefined) - 1;
      try {
        all[i] = await publisher.publish(channel, { type: "log_entry", payload: { message: "m", i } });
      } catch (error) {
        if (!(error instanceof PublisherError)) throw error;
        all[i] = error;
        const kind = `${error.code} ${error.stored}`;
        rejections.set(kind, (rejections.get(kind) ?? 0) + 1);
        // It is refused at once, again and again: without this nothing else would get a turn.
        if (error.code === "queue_full") await new Promise((next) => setImmediate(next));
      }
    }
  };
  const workers = Promise.all(Array.from({ length: window }, worker));
  return {
    channel,
    all,
    rejected: (code, stored) => rejections.get(`${code} ${stored}`) ?? 0,
    async stop() {
      stopped = true;
      await workers;
    },
  };
}

export interface Counts {
  readonly stored: number;
  /** Rejected: not in the log, and not known; and how many of the latter are in the log. */
  readonly no: number;
  readonly unknown: number;
  readonly unknownStored: number;
}

/**
 * Invariant: nothing is in the log twice. What was answered is there, in the order of the publishes, under the eventId that was
 * answered; what was rejected is not, unless it was said that this is not known.
 */
export function expectTold({ all }: Pick<Outcomes, "all">, log: readonly LogRecord[]): Counts {
  const found = new Map<number, string>();
  const twice: number[] = [];
  const resolvedInLog: number[] = [];
  for (const { lines, eventIds } of log) {
    for (const [n, line] of lines.entries()) {
      const { i } = (JSON.parse(line) as { payload: { i: number } }).payload;
      if (found.has(i)) twice.push(i);
      found.set(i, eventIds[n] ?? "");
      if (!(all[i] instanceof PublisherError)) resolvedInLog.push(i);
    }
  }
  expect(twice).toEqual([]);
  const counts = { stored: 0, no: 0, unknown: 0, unknownStored: 0 };
  const resolved: number[] = [];
  const untold: number[] = [];
  for (const [i, outcome] of all.entries()) {
    if (outcome === undefined) throw new Error(`event ${i} is not settled`);
    if (!(outcome instanceof PublisherError)) {
      resolved.push(i);
      counts.stored++;
      // One assertion an event is slow; this one is made where it fails.
      if (outcome.eventId !== found.get(i)) expect({ i, ...outcome }).toEqual({ i, eventId: found.get(i) });
    } else if (outcome.stored === "unknown") {
      counts.unknown++;
      if (found.has(i)) counts.unknownStored++;
    } else {
      counts.no++;
      if (found.has(i)) untold.push(i);
    }
  }
  expect(untold).toEqual([]);
  expect(resolvedInLog).toEqual(resolved);
  return counts;
}
