import { randomUUID } from "node:crypto";
import { link, readdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { describeProcess, type ProcessFile, readLiveProcess } from "./process-file.ts";

export type Lock = { readonly held: true } | { readonly held: false; readonly by: ProcessFile };

/**
 * Takes a lock for as long as this process lives; there is nothing to release. Node has no flock(2), so it is files, `<path>.1`,
 * `<path>.2` …, of which the highest counts and names its process. If that one has died, however it did, the next number
 * is created, by link(2), which creates a file with its content in one step or fails because it is there: of those who find
 * the same dead process one succeeds. Lower numbers go only when a higher one is there: who comes late with an old number finds
 * that it is not the highest. (To remove a dead one's file and create it anew would be a race: the file removed may be another's.)
 */
export async function acquireLock(path: string): Promise<Lock> {
  const temporary = `${path}.${randomUUID()}`;
  await writeFile(temporary, await describeProcess(process.pid), { mode: 0o600 });
  try {
    for (;;) {
      const highest = (await numbers(path)).at(-1) ?? 0;
      const by = highest > 0 ? await readLiveProcess(`${path}.${highest}`) : undefined;
      if (by !== undefined) return { held: false, by };
      const mine = highest + 1;
      if (!(await linked(temporary, `${path}.${mine}`))) continue;
      const all = await numbers(path);
      const lower = all.at(-1) === mine ? all.slice(0, -1) : [mine];
      for (const number of lower) await rm(`${path}.${number}`, { force: true });
      if (all.at(-1) === mine) return { held: true };
    }
  } finally {
    await rm(temporary, { force: true });
  }
}

/** The numbers that are there, ascending. */
async function numbers(path: string): Promise<number[]> {
  const prefix = `${basename(path)}.`;
  return (await readdir(dirname(path)))
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b);
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}
