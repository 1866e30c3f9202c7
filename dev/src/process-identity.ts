import { readFile } from "node:fs/promises";
import { run } from "./run.ts";

/**
 * What tells a process from a later one with the same pid: when it started. Undefined if there is no such process, or
 * only what is left of a dead one (a zombie).
 */
export async function identityOf(pid: number): Promise<string | undefined> {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return process.platform === "linux" ? fromProc(pid) : fromPs(pid);
}

async function fromProc(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (stat === undefined) return undefined;
  // proc(5): the name, in parentheses, may hold anything; after it field 3 is the state and field 22 the start time in ticks
  // since boot, hence the boot's own id beside it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return undefined;
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "");
  return `${boot.trim()}:${fields[19]}`;
}

async function fromPs(pid: number): Promise<string | undefined> {
  const started = await run("ps", ["-o", "lstart=", "-p", String(pid)], { timeoutMs: 5_000 }).catch(() => "");
  return started.trim() || undefined;
}
