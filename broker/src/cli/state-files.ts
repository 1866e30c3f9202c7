import { type FileHandle, open, readlink, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { schemeOf } from "./rotation-scheme.ts";
import { UsageError } from "./usage-error.ts";

/** How every state begins, and so what a crash left of one. */
const BEGINNING = '{"version":1,"file":';
/** So many links lead to each other at most, as the system has it. */
const LINKS = 40;

/** What a process has that uses a state. */
export function lockOf(state: string): string {
  return `${state}.lock`;
}

/** What is written before it becomes the state. */
export function draftOf(state: string): string {
  return `${state}.new`;
}

/**
 * What is written with a state must not be what is followed, nor anybody else's: it would be published line by line, or be gone.
 *
 * @throws UsageError
 */
export async function checkStateFiles(state: string, followed: string): Promise<void> {
  const another = "name another --state";
  if (await areSame(state, followed))
    throw new UsageError(`the state ${state} is the followed file itself: ${another}`);
  for (const path of [lockOf(state), draftOf(state)]) {
    if (await areSame(path, followed)) {
      throw new UsageError(`${path}, which goes with the state ${state}, is the followed file: ${another}`);
    }
  }
  const [name, log] = [await nameOf(state), await nameOf(followed)];
  if (dirname(name) === dirname(log) && schemeOf(log, name) !== undefined) {
    throw new UsageError(`the state ${state} is called like a rotated ${basename(log)}: ${another}`);
  }
  if (await isForeign(draftOf(state))) {
    throw new UsageError(
      `${draftOf(state)} is not of kata publish, and the state ${state} would be written over it: ${another}, or move it away`,
    );
  }
}

/**
 * Whether a file without content may be one that lost it with the machine's power: then nobody but its owner may read it, as ours.
 *
 * @param mode as `stat` gives it
 */
export function isPrivate(mode: number): boolean {
  return (mode & 0o077) === 0;
}

/** Whether this is somebody else's file, and no draft of a state. */
async function isForeign(draft: string): Promise<boolean> {
  let file: FileHandle;
  try {
    file = await open(draft);
  } catch {
    // There is none; or it will be told when it cannot be written.
    return false;
  }
  try {
    const facts = await file.stat();
    if (!facts.isFile()) return false;
    const { bytesRead, buffer } = await file.read(Buffer.alloc(BEGINNING.length), 0, BEGINNING.length, 0);
    const text = buffer.toString("latin1", 0, bytesRead).replace(/\0+$/, "");
    return text === "" ? !isPrivate(facts.mode) : !BEGINNING.startsWith(text);
  } finally {
    await file.close();
  }
}

/** Whether two names are, or would be, one file: also through links, and where there is none yet. */
async function areSame(one: string, other: string): Promise<boolean> {
  if ((await nameOf(one)) === (await nameOf(other)) || (await targetOf(one)) === (await targetOf(other))) return true;
  const [a, b] = await Promise.all([one, other].map((path) => stat(path, { bigint: true }).catch(() => undefined)));
  return a !== undefined && a.ino === b?.ino && a.dev === b.dev;
}

/** The whole name of a file, whatever it leads to. */
async function nameOf(path: string): Promise<string> {
  const whole = resolve(path);
  return join(await targetOf(dirname(whole)), basename(whole));
}

/** Where a name leads, also if nothing is there. */
async function targetOf(path: string, links = LINKS): Promise<string> {
  const whole = resolve(path);
  try {
    return await realpath(whole);
  } catch {
    const directory = dirname(whole);
    if (directory === whole || links === 0) return whole;
    const within = await targetOf(directory, links - 1);
    const link = await readlink(whole).catch(() => undefined);
    return link === undefined ? join(within, basename(whole)) : await targetOf(resolve(within, link), links - 1);
  }
}
