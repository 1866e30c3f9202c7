import { join } from "node:path";

/**
 * Arguments for Node: with `KATA_BENCH_CPU_PROF=<directory>` the process writes CPU profiles to `<directory>/<name>/` when it ends, one of each of its
 * threads (the small ones are of what loads TypeScript), for `node --cpu-prof`'s viewers.
 */
export function profiling(name: string): string[] {
  const directory = process.env.KATA_BENCH_CPU_PROF;
  return directory === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${join(directory, name)}`];
}
