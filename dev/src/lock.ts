import { randomUUID } from "node:crypto";
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { describeProcess, type ProcessFile, readLiveProcess } from "./process-file.ts";

export type Lock =
  | { readonly held: true; release(): Promise<void> }
  | { readonly held: false; readonly by: ProcessFile };

/**
 * Takes the lock that the file at `path` is, for this process. A lock whose process has died, however it died, is taken over.
 * Node has no flock(2); link(2) is what creates a file with its content in one step, or fails because it is there.
 */
export async function acquireLock(path: string): Promise<Lock> {
  const mine = await describeProcess(process.pid);
  const temporary = `${path}.${randomUUID().slice(0, 8)}`;
  await writeFile(temporary, mine, { mode: 0o600 });
  try {
    for (;;) {
      if (await linked(temporary, path)) return { held: true, release: () => rm(path, { force: true }) };
      const stale = await readFile(path, "utf8").catch(() => "");
      const by = await readLiveProcess(path);
      if (by !== undefined) return { held: false, by };
      await removeStale(path, stale);
    }
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Two may find the same stale lock, and the slower one must not remove the lock that the faster one has made since. */
async function removeStale(path: string, stale: string): Promise<void> {
  const aside = `${path}.${randomUUID().slice(0, 8)}`;
  try {
    await rename(path, aside);
  } catch {
    return; // The other one was faster.
  }
  const moved = await readFile(aside, "utf8");
  if (moved !== stale) await linked(aside, path);
  await rm(aside, { force: true });
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
