import type { Clock } from "../clock.ts";

export interface FakeClock extends Clock {
  /** Lets time pass; everything that comes due on the way runs in its order. */
  advance(ms: number): void;
  /** The machine sleeps: what came due meanwhile runs once, late, when it wakes. */
  sleep(ms: number): void;
  /** Runs the next timer, whenever it is due; false if there is none. */
  runNext(): boolean;
  /** How many timers are waiting. */
  readonly pending: number;
}

/** Time that stands still until a test moves it. */
export function createFakeClock(): FakeClock {
  const timers = new Set<{ at: number; run: () => void }>();
  let now = 0;
  const first = () => [...timers].sort((a, b) => a.at - b.at)[0];
  const runNext = (until: number): boolean => {
    const timer = first();
    if (timer === undefined || timer.at > until) return false;
    timers.delete(timer);
    now = Math.max(now, timer.at);
    timer.run();
    return true;
  };
  return {
    after(ms, run) {
      const timer = { at: now + ms, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance(ms) {
      const until = now + ms;
      while (runNext(until)) {}
      now = until;
    },
    sleep(ms) {
      now += ms;
      while (runNext(now)) {}
    },
    runNext: () => runNext(Number.POSITIVE_INFINITY),
    get pending() {
      return timers.size;
    },
  };
}
