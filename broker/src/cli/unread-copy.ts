import { readAt } from "./file-place.ts";
import type { KnownSiblings } from "./known-siblings.ts";
import { type FileFacts, factsAt, factsOf, type OpenFile, openFile, sameFile } from "./open-file.ts";
import { type Sibling, siblingsOf } from "./siblings.ts";

/**
 * The copy of a log of which nothing was read yet, if it has been copied, and cut, since it was first seen: nothing in itself would
 * tell. It is the caller's.
 *
 * @param file has the name `path`, or had it
 * @param seen as it was then
 * @param beginning what it holds now
 */
export async function copyOfUnread(
  path: string,
  file: OpenFile,
  seen: FileFacts,
  beginning: Buffer,
  known: KnownSiblings,
): Promise<OpenFile | undefined> {
  if (!known.complete) return undefined;
  const now = await factsAt(path);
  // What has not been written to was not cut.
  if (now === undefined || !sameFile(now, file) || now.mtimeMs === seen.mtimeMs) return undefined;
  const siblings = await siblingsOf(path);
  // Where the name is a link to one of them, the others are logs of other days, and no copies.
  if (siblings.some((one) => sameFile(one, file))) return undefined;
  for (const sibling of siblings.filter((one) => one.mtimeMs > seen.mtimeMs && known.mayFollow(one))) {
    const copy = await openSibling(sibling);
    if (copy === undefined) continue;
    if (await wasCutAfter(copy, file, beginning)) {
      known.learn(sibling.scheme);
      return copy;
    }
    await copy.handle.close();
  }
  return undefined;
}

/** `undefined`: it cannot be read, or was renamed meanwhile, and is found at the next look. */
async function openSibling(sibling: Sibling): Promise<OpenFile | undefined> {
  const file = await openFile(sibling.path).catch(() => undefined);
  if (file === undefined || sameFile(file, sibling)) return file;
  await file.handle.close();
  return undefined;
}

/** Whether the file does not begin with what a copy has, or not any more: else all of it is still to be read in itself. */
async function wasCutAfter(copy: OpenFile, file: OpenFile, beginning: Buffer): Promise<boolean> {
  // Written to since it was looked at: it is looked at again before anything is said of it.
  if (beginning.length === 0 && (await factsOf(file.handle)).size > 0) return false;
  const copied = await readAt(copy.handle, 0, Math.max(1, beginning.length));
  const length = Math.min(copied.length, beginning.length);
  return copied.length > 0 && (length === 0 || !copied.subarray(0, length).equals(beginning.subarray(0, length)));
}
