import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { readLiveProcess } from "./process-file.ts";

const TERM_MS = 10_000;
const KILL_MS = 5_000;
const POLL_MS = 25;

/**
 * Stops the nats-server of an earlier start that was killed and could not do it. Two servers on one store would damage it, so this
 * returns only when the old one is gone. Returns its pid, or undefined if there was none.
 */
export async function stopLeftOver(natsFile: string): Promise<number | undefined> {
  const left = await readLiveProcess(natsFile);
  if (left === undefined) return undefined;
  process.kill(left.pid, "SIGTERM");
  // It is no child of ours: there is no event to await, only its absence.
  if (!(await gone(natsFile, TERM_MS))) {
    process.kill(left.pid, "SIGKILL");
    if (!(await gone(natsFile, KILL_MS)))
      throw new Error(`nats-server (pid ${left.pid}) of an earlier start cannot be stopped`);
  }
  await rm(natsFile, { force: true });
  return left.pid;
}

async function gone(natsFile: string, withinMs: number): Promise<boolean> {
  const deadline = Date.now() + withinMs;
  while ((await readLiveProcess(natsFile)) !== undefined) {
    if (Date.now() > deadline) return false;
    await delay(POLL_MS);
  }
  return true;
}
