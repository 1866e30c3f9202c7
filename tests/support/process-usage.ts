import { readFileSync } from "node:fs";
import { setTimeout as rest } from "node:timers/promises";

/** What `/proc` counts CPU time in: `getconf CLK_TCK` is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** CPU time that a process has used so far, user and system, all its threads, in seconds. Linux only. */
export function cpuSeconds(pid: number): number {
  // The second field is the program's name in parentheses, and may hold anything.
  const [, fields = ""] = /\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
  const [utime = Number.NaN, stime = Number.NaN] = fields.split(" ").slice(11, 13).map(Number);
  return (utime + stime) / TICKS_PER_SECOND;
}

/** Resident memory of a process, bytes. Linux only. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kib) * 1024;
}

/** Samples a process's resident memory until it is stopped, or the process has ended. */
export interface MemoryWatch {
  /** Ends it; the most that was seen, bytes. */
  stop(): Promise<number>;
}

export function watchMemory(pid: number, intervalMs = 20): MemoryWatch {
  let peak = residentBytes(pid);
  let stopped = false;
  const sampling = (async () => {
    while (!stopped) {
      await rest(intervalMs);
      try {
        peak = Math.max(peak, residentBytes(pid));
      } catch {
        // It has ended: whoever waits for something of it hears of that elsewhere.
        return;
      }
    }
  })();
  return {
    async stop() {
      stopped = true;
      await sampling;
      return peak;
    },
  };
}
