import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { probeVersion } from "./probe.ts";
import { compareVersions } from "./version.ts";

export interface CachedServer {
  readonly path: string;
  readonly version: string;
}

/** Where fetched programs are kept: `KATA_CACHE_DIR`, or `~/.cache/kata`. */
export function cacheDirectory(env: NodeJS.ProcessEnv): string {
  return env.KATA_CACHE_DIR || join(homedir(), ".cache", "kata");
}

/** The newest nats-server of the cache, `<cache>/nats-server/<version>/nats-server`; undefined if it has none. */
export async function findCached(cache: string): Promise<CachedServer | undefined> {
  const versions = (await readdir(join(cache, "nats-server")).catch(() => []))
    .filter((name) => /^\d/.test(name))
    .sort((a, b) => compareVersions(b, a));
  const newest = versions[0];
  if (newest === undefined) return undefined;
  const path = join(cache, "nats-server", newest, "nats-server");
  // A file that does not run (a disk that was full, a home directory from another machine) must not be trusted.
  return { path, version: await probeVersion(path) };
}

/**
 * Calls `fetch` with an empty directory, and puts the program whose path it returns into the cache. A reader of the cache sees
 * the whole program or none, and processes that fetch at the same time do not disturb each other: each works
 * in a directory of its own, and the last rename wins with the same content.
 */
export async function addToCache(cache: string, fetch: (directory: string) => Promise<string>): Promise<CachedServer> {
  const directory = join(cache, `fetching-${process.pid}-${randomUUID().slice(0, 8)}`);
  await mkdir(directory, { recursive: true });
  try {
    const program = await fetch(directory);
    const version = await probeVersion(program);
    const place = join(cache, "nats-server", version);
    await mkdir(place, { recursive: true });
    const path = join(place, "nats-server");
    await rename(program, path);
    return { path, version };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
