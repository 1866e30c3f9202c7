/** Takes back what it was returned for; harmless when that has happened already. */
export type Cancel = () => void;

/** Where timers come from; a test brings its own. */
export interface Clock {
  /** Calls `run` once, `ms` milliseconds from now. */
  after(ms: number, run: () => void): Cancel;
}

/** The longest delay a host's timer can take; a longer one would fire at once. */
export const MAX_TIMER_MS = 2_147_483_647;

// Typed here and not by a platform's library: the same code runs in browsers, Node and React Native.
interface TimerHost {
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout?(timer: unknown): void;
}

const host = globalThis as unknown as TimerHost;

/** The host's own timers. */
export const hostClock: Clock = {
  after(ms, run) {
    let cancelled = false;
    const timer = host.setTimeout(
      () => {
        if (!cancelled) run();
      },
      Math.min(ms, MAX_TIMER_MS),
    );
    return () => {
      cancelled = true;
      host.clearTimeout?.(timer);
    };
  },
};
