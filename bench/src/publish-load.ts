import { setImmediate as macrotask, setTimeout as rest } from "node:timers/promises";
import type { EventInput } from "@kata/publisher";
import { numberedEvent } from "../../tests/support/numbered-event.ts";
import { LINE_BYTES } from "./feed.ts";
import type { PublishSystem } from "./publish-systems.ts";

export interface Load {
  /** The event with number i goes to the channel i modulo their number. */
  readonly channels: readonly string[];
  /** Published are so many events, or as many as go out in so many seconds. */
  readonly enough: { readonly events: number } | { readonly seconds: number };
  /** Events that are not acknowledged yet: never more. */
  readonly inFlight: number;
  /** Events that come at once, as from a chunk of a log that was read; after each the event loop has its turn. */
  readonly burst: number;
}

export interface Loaded {
  /** How many were published, all of them acknowledged. */
  readonly events: number;
  /** From the first publish to the last acknowledgement. */
  readonly seconds: number;
  /** CPU time of this process, user and system. */
  readonly cpuSeconds: number;
  /** How long `publish()` took, of every {@link SAMPLE}th event; `publishMany()`, each time. */
  readonly latenciesMs: readonly number[];
}

/** A prime, so that samples are not in step with bursts, channels and records. */
const SAMPLE = 61;

/** Publishes as fast as the system takes it. Rejects if an event is not acknowledged. */
export async function load(system: PublishSystem, { channels, enough, inFlight, burst }: Load): Promise<Loaded> {
  const latenciesMs: number[] = [];
  let published = 0;
  let acked = 0;
  let failure: Error | undefined;
  let progress: () => void = () => {};
  const settled = () => {
    acked++;
    if (published - acked === inFlight - burst || acked === published) progress();
  };
  /** Made apart from the batch, which it would keep alive. */
  const settledTogether = (count: number) => {
    const sampledAt = performance.now();
    return () => {
      latenciesMs.push(performance.now() - sampledAt);
      acked += count;
      if (published - acked <= inFlight - burst || acked === published) progress();
    };
  };
  const failed = (error: Error) => {
    failure ??= error;
    progress();
  };
  const until = async (enough: () => boolean) => {
    while (!enough() && failure === undefined) {
      await new Promise<void>((resolve) => {
        progress = resolve;
      });
    }
    if (failure !== undefined) throw failure;
  };

  const { events = Infinity, seconds = Infinity }: { events?: number; seconds?: number } = enough;
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  while (published < events && performance.now() - startedAt < seconds * 1_000) {
    const end = Math.min(events, published + burst);
    if (system.publishMany !== undefined) {
      const from = published;
      published = end;
      for (const [i, channel] of channels.entries()) {
        const batch: EventInput[] = [];
        for (let number = from + i; number < end; number += channels.length)
          batch.push(numberedEvent(number, LINE_BYTES));
        if (batch.length === 0) continue;
        const batchSettled = settledTogether(batch.length);
        system.publishMany(channel, batch).then(batchSettled, failed);
      }
    }
    for (; published < end; published++) {
      const event = numberedEvent(published, LINE_BYTES);
      const sampledAt = published % SAMPLE === 0 ? performance.now() : undefined;
      const answer = system.publish(channels[published % channels.length] as string, event);
      answer.then(settled, failed);
      if (sampledAt !== undefined) answer.then(() => latenciesMs.push(performance.now() - sampledAt), failed);
    }
    await macrotask();
    await until(() => published - acked <= inFlight - burst);
  }
  await until(() => acked === published);
  const { user, system: kernel } = process.cpuUsage(cpu);
  return {
    events: published,
    seconds: (performance.now() - startedAt) / 1_000,
    cpuSeconds: (user + kernel) / 1e6,
    latenciesMs,
  };
}

/** Which events are published one at a time: so many, `first`, `first + step` and so on. */
export interface Single {
  readonly channel: string;
  readonly first: number;
  readonly step: number;
  readonly rounds: number;
}

/**
 * One event at a time, with a millisecond of quiet before each.
 *
 * @returns how long each `publish()` took, milliseconds
 */
export async function idle(system: PublishSystem, { channel, first, step, rounds }: Single): Promise<number[]> {
  const latenciesMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const event = numberedEvent(first + round * step, LINE_BYTES);
    await rest(1);
    const at = performance.now();
    await system.publish(channel, event);
    latenciesMs.push(performance.now() - at);
  }
  return latenciesMs;
}
