import type { Progress } from "./publish-batch.ts";

/** How long nothing is acknowledged before a person is told, milliseconds. */
const STALL_MS = 2_000;

/** Tells once when lines wait and none is acknowledged, and once when that is over. Returns what ends the watch. */
export function watchStall(progress: Progress, tell: (line: string) => void): () => void {
  let told = false;
  let last = 0;
  const timer = setInterval(() => {
    const { published, failed, pending } = progress;
    const settled = published + failed;
    const stalled = pending > 0 && settled === last;
    last = settled;
    if (stalled && !told) tell(`the log does not answer, ${pending} lines wait, trying until it has them`);
    if (!stalled && told) tell("the log answers again");
    told = stalled;
  }, STALL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
