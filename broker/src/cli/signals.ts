import { constants } from "node:os";
import { onOrphaned } from "./orphaned.ts";

/** npx passes Ctrl-C on to us, who got it from the terminal already: the same signal so soon is not a second one. */
const SAME_KEYPRESS_MS = 500;

export type StopSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** Calls `stop` for the first signal that asks to stop, and `insist` for every further one. */
export function onStopSignals(stop: (signal: StopSignal) => void, insist: (signal: StopSignal) => void): void {
  let first: { readonly signal: StopSignal; readonly at: number } | undefined;
  const received = (signal: StopSignal) => {
    const now = performance.now();
    if (first === undefined) {
      first = { signal, at: now };
      stop(signal);
    } else if (signal !== first.signal || now - first.at >= SAME_KEYPRESS_MS) {
      insist(signal);
    }
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, received);
  onOrphaned(() => {
    if (first === undefined) received("SIGTERM");
  });
}

/** The exit code by which shells know a signal: 130 for SIGINT, 143 for SIGTERM. */
export function exitCodeOf(signal: StopSignal): number {
  return 128 + constants.signals[signal];
}
