import { type EventLog, LogUnavailableError } from "../log/event-log.ts";
import type { Clock } from "./clock.ts";

const MIN_MS = 50;
const MAX_MS = 2_000;

export interface Patience {
  readonly log: EventLog;
  readonly clock: Clock;
  /** Whether nobody needs the answer any more. */
  readonly stopped: () => boolean;
  /** Told of errors that are no outage, which then are tried again the same way; without it they are passed on. */
  readonly onDefect?: (error: unknown) => void;
}

/**
 * Runs `action` until it answers, resting longer after each time that the log was away (50 ms, doubled up to 2 s,
 * with jitter); a rest ends when the connection is back. Gives up with `undefined` once `stopped` says so.
 */
export async function whileAway<T>(patience: Patience, action: () => Promise<T>): Promise<T | undefined> {
  for (let attempt = 0; !patience.stopped(); attempt++) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof LogUnavailableError)) {
        if (patience.onDefect === undefined) throw error;
        patience.onDefect(error);
      }
    }
    // Back, the server may still need a moment until it can answer.
    if ((await rest(patience, attempt)) === "reconnected") attempt = 0;
  }
  return undefined;
}

function rest({ log, clock }: Patience, attempt: number): Promise<"rested" | "reconnected"> {
  return new Promise((resolve) => {
    const end = (why: "rested" | "reconnected") => {
      cancel();
      unlisten();
      resolve(why);
    };
    const ms = Math.min(MAX_MS, MIN_MS * 2 ** attempt) * (0.5 + clock.random() / 2);
    const cancel = clock.after(ms, () => end("rested"));
    const unlisten = log.listen((event) => {
      if (event === "reconnected") end("reconnected");
    });
  });
}
