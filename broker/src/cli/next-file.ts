import { setTimeout as rest } from "node:timers/promises";
import type { KnownSiblings } from "./known-siblings.ts";
import { type FileId, factsOf, MissingFile, type OpenFile, openFile, sameFile } from "./open-file.ts";
import { type Sibling, siblingsOf } from "./siblings.ts";
import { UsageError } from "./usage-error.ts";

/** How often a file that is not there yet is looked for, milliseconds. */
const POLL_MS = 100;

/** A log that is followed, and who is told of it. */
export interface Followed {
  readonly path: string;
  /** Told what a person should know, one line. */
  readonly tell: (line: string) => void;
  /** Told where lines are, or may be, lost, one line. */
  readonly lost: (line: string) => void;
}

/**
 * The file that comes after `last`, or the first one: the current one, or one that has been rotated already. It is the caller's, who
 * opened the current one before: so none can be between the two. What is not the answer is closed.
 */
export async function earliest(
  current: OpenFile,
  last: (FileId & { readonly mtimeMs: number }) | undefined,
  known: KnownSiblings,
  followed: Followed,
): Promise<OpenFile> {
  const { mtimeMs } = await factsOf(current.handle);
  const siblings = await siblingsOf(followed.path);
  const place = last === undefined ? -1 : siblings.findIndex((one) => sameFile(one, last));
  // What the last one was renamed to says how the others are called that came after it.
  known.learn(siblings[place]?.scheme);
  const mayFollow = (one: Sibling) => (last === undefined ? known.mayFollow(one) : known.mayFollowGone(one));
  const since = place >= 0 ? siblings.slice(place + 1) : siblings.filter((one) => one.mtimeMs >= (last?.mtimeMs ?? 0));
  for (const sibling of since) {
    // The current one may have been rotated, too, meanwhile: then others can be behind it.
    if (sameFile(sibling, current) || sibling.mtimeMs > mtimeMs) break;
    if (!mayFollow(sibling)) continue;
    const file = await openRotated(sibling.path, followed);
    // It may not be read.
    if (file === undefined) continue;
    if (file !== "moved" && sameFile(file, sibling)) {
      await current.handle.close();
      return file;
    }
    // Renamed meanwhile: it is looked for under its new name.
    if (file !== "moved") await file.handle.close();
    return await earliest(current, last, known, followed);
  }
  return current;
}

/**
 * Opens a file, or waits until there is one; `undefined` if there was none when the waiting was ended.
 *
 * @throws UsageError if there is none and it is not waited for, or it cannot be read
 */
export async function openOrWait({
  path,
  retry,
  signal,
  tell,
}: Followed & { readonly retry: boolean; readonly signal: AbortSignal }): Promise<OpenFile | undefined> {
  for (let told = false; ; ) {
    try {
      return await openFile(path);
    } catch (error) {
      if (!(retry && error instanceof MissingFile)) throw error;
      if (signal.aborted) return undefined;
      if (!told) tell(`there is no file ${path} yet, waiting for it`);
      told = true;
      await rest(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

async function openRotated(path: string, { lost }: Followed): Promise<OpenFile | "moved" | undefined> {
  try {
    return await openFile(path);
  } catch (error) {
    if (error instanceof MissingFile) return "moved";
    if (!(error instanceof UsageError)) throw error;
    lost(`${error.message}; lines are missing`);
    return undefined;
  }
}
