import { readdirSync, readFileSync } from "node:fs";

const PATIENCE_MS = 1_000;

/**
 * Returns when a process that was sent SIGSTOP really stands: the signal stops each thread when it reaches it, and one that runs
 * on another processor may still answer a client meanwhile. Where there is no /proc it returns at once.
 */
export function waitUntilStopped(pid: number): void {
  const deadline = performance.now() + PATIENCE_MS;
  while (!stands(pid) && performance.now() < deadline);
}

function stands(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).every((thread) => {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
      // proc(5): the state follows the name, which is in parentheses.
      return stat[stat.lastIndexOf(")") + 2] === "T";
    });
  } catch {
    // No /proc here, or a thread that has just ended.
    return process.platform !== "linux";
  }
}
