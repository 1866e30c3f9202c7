import { type Progress, whatWaits } from "./progress.ts";

/** How long nothing is acknowledged before a person is told, milliseconds. */
const STALL_MS = 2_000;

/** Tells once when lines, or the end, wait and none is acknowledged, and once when that is over. Returns what ends the watch. */
export function watchStall(progress: Progress, tell: (line: string) => void): () => void {
  let told = false;
  let last = 0;
  let waited = false;
  const timer = setInterval(() => {
    const { published, failed, pending } = progress;
    const settled = published + failed;
    // What was published a moment ago has not waited yet.
    const stalled = waited && pending > 0 && settled === last;
    waited = pending > 0;
    last = settled;
    if (stalled && !told) {
      const waits = progress.ending ? "waits, trying until it has it" : "wait, trying until it has them";
      tell(`the log does not answer, ${whatWaits(progress)} ${waits}`);
    }
    if (!stalled && told) tell("the log answers again");
    told = stalled;
  }, STALL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
