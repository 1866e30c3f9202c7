import { chmod, mkdir, open, readdir, realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { damaged, SpoolError } from "./spool-error.ts";

/** What LevelDB names its files. */
const OWN_FILE = /^(CURRENT|LOCK|LOG|LOG\.old|MANIFEST-\d+|\d+\.(log|ldb|sst|dbtmp)|lost)$/;

/**
 * Makes the directory, readable by its owner alone, as it will hold events: what LevelDB creates inside follows the
 * umask, and nobody else gets that far.
 *
 * @returns its one real name, by which two publishers that share it know of each other
 * @throws SpoolError `not_writable`, `damaged`, `foreign` if it holds something else
 */
export async function prepareDirectory(directory: string): Promise<string> {
  try {
    const first = await mkdir(directory, { recursive: true, mode: 0o700 });
    if (first !== undefined) await syncParents(directory, first);
    const names = await readdir(directory);
    const strange = names.find((name) => !OWN_FILE.test(name));
    if (strange !== undefined) {
      const why = `${directory} holds other files (${strange}): give the spool a directory of its own`;
      throw new SpoolError("foreign", why);
    }
    // LevelDB would begin anew, and delete what it finds.
    if (!names.includes("CURRENT") && names.some((name) => /\.(log|ldb|sst)$/.test(name))) {
      throw damaged(directory, "the file CURRENT is missing");
    }
    await chmod(directory, 0o700);
    return await realpath(directory);
  } catch (error) {
    if (error instanceof SpoolError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new SpoolError("not_writable", `no spool can be kept in ${directory}: ${why}`, error);
  }
}

/** A new directory survives a loss of power when the one that names it is on disk. */
async function syncParents(directory: string, first: string): Promise<void> {
  // Windows has no such thing as a directory's fsync.
  if (process.platform === "win32") return;
  const top = dirname(resolve(first));
  for (let path = dirname(resolve(directory)); ; path = dirname(path)) {
    const handle = await open(path);
    await handle.sync().finally(() => handle.close());
    if (path === top) return;
  }
}
