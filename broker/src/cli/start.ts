import { parseEventId, type Rewind } from "@kata/protocol/wire";
import { UsageError } from "./usage-error.ts";

/** Where the command line says to start. */
export interface StartOptions {
  readonly since?: string;
  readonly rewind?: string;
  readonly untilEnd?: boolean;
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** [SUBSCRIBE-5] */
const MAX_COUNT = 100_000;
const MAX_SECONDS = 366 * 86_400;

/** The same for a subscription. @throws UsageError for what is no eventId or no amount, and for both at once */
export function startOf({ since, rewind, untilEnd }: StartOptions): { lastEventId?: string; rewind?: Rewind } {
  if (since !== undefined && rewind !== undefined) throw new UsageError("give --since or --rewind, not both");
  if (since !== undefined) {
    if (parseEventId(since) === undefined)
      throw new UsageError(`--since takes an eventId, as printed by "kata tail --json" or "kata publish --data"`);
    return { lastEventId: since };
  }
  // The newest event may be the end that is waited for. In one subscription, so that nothing falls between two looks.
  if (rewind === undefined) return untilEnd === true ? { rewind: { count: 1 } } : {};
  if (rewind === "all") return { rewind: "all" };
  const [, digits, unit] = /^(\d{1,12})([smhd])?$/.exec(rewind) ?? [];
  if (digits === undefined)
    throw new UsageError(`--rewind takes a number of events, a time such as 90s, 10m, 2h or 3d, or "all"`);
  const amount = Number(digits);
  if (unit === undefined) {
    if (amount > MAX_COUNT) throw new UsageError(`--rewind goes back ${MAX_COUNT} events at most; "all" has no limit`);
    return { rewind: { count: amount } };
  }
  const seconds = amount * (SECONDS[unit] as number);
  if (seconds === 0 || seconds > MAX_SECONDS)
    throw new UsageError(`--rewind goes back from 1s to 366d; "all" has no limit`);
  return { rewind: { seconds } };
}
