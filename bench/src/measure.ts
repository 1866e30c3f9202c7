import { cpuSeconds } from "../../tests/support/process-usage.ts";

export interface Measured {
  readonly seconds: number;
  /** CPU time of the process, user and system. */
  readonly cpuSeconds: number;
}

/** How long something takes, and what it costs the process that serves it. */
export async function measure(pid: number, work: () => Promise<unknown>): Promise<Measured> {
  const cpuBefore = cpuSeconds(pid);
  const started = performance.now();
  await work();
  return { seconds: (performance.now() - started) / 1_000, cpuSeconds: cpuSeconds(pid) - cpuBefore };
}
