import { writeSync } from "node:fs";
import { withoutCapture } from "./quiet.ts";

/**
 * Told that log entries were lost, and why. It is called for each failure, so it should do little; what it throws is
 * ignored, what it prints is not captured.
 *
 * @param lost how many events
 */
export type CaptureErrorListener = (error: Error, lost: number) => void;

/** Says the first failure on stderr, in one line; an application's log must not be about its log. */
export function tellOnce(what: string): CaptureErrorListener {
  let told = false;
  return (error) => {
    if (told) return;
    told = true;
    say(`kata: ${what}: ${error.message}; further failures are not reported`);
  };
}

/** Writes a line to stderr. Synchronously, because a worker's own stderr is carried by a main thread that may be ending. */
export function say(line: string): void {
  try {
    writeSync(2, `${line.replaceAll("\n", " ")}\n`);
  } catch {
    // Nobody reads stderr, or not fast enough: there is nowhere else to say it.
  }
}

/** Tells a listener, whatever it does with it. */
export function tell(listener: CaptureErrorListener, error: unknown, lost: number): void {
  const given = error instanceof Error ? error : new Error(String(error));
  try {
    withoutCapture(() => listener(given, lost));
  } catch {
    // Thrown into a call of console.log it would change what the application does.
  }
}
