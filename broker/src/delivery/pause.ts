import { LogUnavailableError } from "../log/event-log.ts";
import type { Clock } from "./clock.ts";

const MIN_MS = 50;
const MAX_MS = 2_000;

/**
 * Runs `action` until it answers, resting longer after each time that the log was away (50 ms, doubled up to 2 s,
 * with jitter). Other errors are passed on, or, with `onDefect`, told and tried again the same way. Gives up with
 * `undefined` once `stopped` says so.
 */
export async function whileAway<T>(
  clock: Clock,
  stopped: () => boolean,
  action: () => Promise<T>,
  onDefect?: (error: unknown) => void,
): Promise<T | undefined> {
  for (let attempt = 0; !stopped(); attempt++) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof LogUnavailableError)) {
        if (onDefect === undefined) throw error;
        onDefect(error);
      }
      const ms = Math.min(MAX_MS, MIN_MS * 2 ** attempt) * (0.5 + clock.random() / 2);
      await new Promise<void>((resolve) => void clock.after(ms, resolve));
    }
  }
  return undefined;
}
