import type { Publisher } from "@kata/publisher";
import type { Random } from "../support/random.ts";

/** A producer at full speed: what the log has acknowledged to it is what readers must get. */
export interface Load {
  readonly channel: string;
  /** The eventIds, in the order of the calls; the event's message is its number. */
  readonly acked: readonly string[];
  /** Resolves once so many are acknowledged; rejects if publishing fails. */
  reaches(count: number): Promise<void>;
  /** Publishes nothing more, and resolves when the log has everything. */
  stop(): Promise<void>;
}

/** How many bursts are on their way: the next record fills up while one is in flight. */
const WINDOW = 3;

/** Publishes on and on, in bursts of one to eight events, so that records hold one or several. */
export function startLoad(publisher: Publisher, channel: string, random: Random): Load {
  const acked: string[] = [];
  const waiting = new Map<() => void, number>();
  let stopped = false;
  let next = 0;
  const publishSome = () =>
    publisher.publishMany(
      channel,
      Array.from({ length: 1 + Math.floor(random() * 8) }, () => {
        return { type: "log_entry", payload: { message: `${next++}` } } as const;
      }),
    );
  const publishing = (async () => {
    const underway: ReturnType<typeof publishSome>[] = [];
    for (;;) {
      while (!stopped && underway.length < WINDOW) underway.push(publishSome());
      const oldest = underway.shift();
      if (oldest === undefined) return;
      for (const { eventId } of await oldest) acked.push(eventId);
      for (const [resolve, wanted] of waiting) if (acked.length >= wanted) resolve();
    }
  })();
  // Told to whoever waits; nobody may be at the moment.
  publishing.catch(() => undefined);
  return {
    channel,
    acked,
    reaches: (count) =>
      Promise.race([
        // One that ends otherwise than by stop() has failed.
        publishing,
        new Promise<void>((resolve) => {
          if (acked.length >= count) resolve();
          else waiting.set(resolve, count);
        }),
      ]),
    stop() {
      stopped = true;
      return publishing;
    },
  };
}
