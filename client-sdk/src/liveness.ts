import type { Cancel, Clock } from "./clock.ts";

export interface LivenessOptions {
  readonly clock: Clock;
  readonly pingIntervalMs: number;
  readonly timeoutMs: number;
  /** Sends a ping. */
  ping(): void;
  /** Nothing was heard for `timeoutMs` after a ping. Called once, unless stopped. */
  dead(): void;
}

export interface Liveness {
  /** Anything at all has arrived. */
  heard(): void;
  stop(): void;
}

/** Pings at once and then every `pingIntervalMs`; the connection is dead if nothing at all is heard within `timeoutMs` of a ping. */
export function startLiveness({ clock, pingIntervalMs, timeoutMs, ping, dead }: LivenessOptions): Liveness {
  let nextPing: Cancel = () => {};
  let verdict: Cancel | undefined;

  // In two halves: a thread that was blocked for longer than the timeout reads what waits for it before it judges.
  const doubt = (): void => {
    verdict = clock.after(timeoutMs / 2, () => {
      verdict = clock.after(timeoutMs / 2, dead);
    });
  };
  const beat = (): void => {
    nextPing = clock.after(pingIntervalMs, beat);
    if (verdict === undefined) doubt();
    ping();
  };
  const heard = (): void => {
    verdict?.();
    verdict = undefined;
  };
  beat();
  return {
    heard,
    stop: () => {
      nextPing();
      heard();
    },
  };
}
