import { LogUnavailableError } from "../log/event-log.ts";

const MIN_MS = 50;
const MAX_MS = 2_000;

/**
 * Runs `action` until it answers, resting longer after each time that the log was away (50 ms, doubled up to 2 s,
 * with jitter). Other errors are passed on, or, with `onDefect`, told and tried again the same way. Gives up with
 * `undefined` once `stopped` says so.
 */
export async function whileAway<T>(
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
      await rest(Math.min(MAX_MS, MIN_MS * 2 ** attempt) * (0.5 + Math.random() / 2));
    }
  }
  return undefined;
}

function rest(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
