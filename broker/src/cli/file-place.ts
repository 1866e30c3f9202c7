import { createHash } from "node:crypto";
import { REMEMBERED_BYTES } from "./byte-window.ts";
import { type FileId, factsOf, type OpenFile, openFile, sameFile } from "./open-file.ts";
import { keyOf, siblingsOf } from "./siblings.ts";

/** A place in a file, and what it is known by: files are renamed, copied and cut. */
export interface FilePlace extends FileId {
  /** The name it had. */
  readonly path: string;
  /** How many bytes are before it. */
  readonly offset: number;
  /** SHA-256 of the last bytes before it, 1,024 if there are so many: base64. */
  readonly before: string;
  /** When the file was last written to, as far as was known; ms since 1970. What it got later was written later. */
  readonly mtimeMs: number;
}

/** Where reading goes on, and what is known of the files beside it. */
export interface Standing extends FilePlace {
  /** Which of them did not come after it; `undefined` if that is not known. */
  readonly older?: readonly string[] | undefined;
  /** How the log's rotated files are called; `undefined` before one was seen. */
  readonly scheme?: string | undefined;
}

export function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64");
}

/**
 * The file in which the place is now, open: the same one under whatever name, or a copy of it that was made before it was
 * cut. `undefined` if the place is in no file beside `path` any more.
 */
export async function locate(place: Standing, path: string): Promise<OpenFile | undefined> {
  for (let names = await namesOf(path); ; ) {
    const found = await locateIn(new Set([path, place.path, ...names]), place, path);
    if (found !== undefined) return found;
    // What is renamed while it is looked for may be missed under both names.
    const now = await namesOf(path);
    if (now.join() === names.join()) return undefined;
    names = now;
  }
}

async function namesOf(path: string): Promise<string[]> {
  return (await siblingsOf(path)).map((sibling) => sibling.path);
}

async function locateIn(names: ReadonlySet<string>, place: Standing, path: string): Promise<OpenFile | undefined> {
  const files: OpenFile[] = [];
  for (const name of names) {
    const file = await openFile(name).catch(() => undefined);
    if (file !== undefined) files.push(file);
  }
  const older = new Set(place.older);
  const isCopy = async (file: OpenFile) => (await mayBeCopy(file, place, path)) && (await holds(file, place));
  const found =
    (await first(files, async (file) => sameFile(file, place) && (await holds(file, place)))) ??
    // One that was there before may begin in the same way; but whoever copies may also write over an older copy.
    (await first(files, async (file) => !older.has(keyOf(file)) && (await isCopy(file)))) ??
    (await first(files, isCopy));
  await Promise.all(files.filter((file) => file !== found).map((file) => file.handle.close()));
  return found;
}

/** The last bytes before a place, 1,024 if there are so many. */
export async function readBefore({ handle }: OpenFile, offset: number): Promise<Buffer> {
  const length = Math.min(offset, REMEMBERED_BYTES);
  return await readAt(handle, offset - length, length);
}

/** So many bytes, fewer if the file ends before. */
export async function readAt(handle: OpenFile["handle"], offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let read = 0;
  while (read < length) {
    const { bytesRead } = await handle.read(bytes, read, length - read, offset + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return bytes.subarray(0, read);
}

async function holds(file: OpenFile, place: FilePlace): Promise<boolean> {
  const before = await readBefore(file, place.offset).catch(() => undefined);
  return (
    before !== undefined &&
    before.length === Math.min(place.offset, REMEMBERED_BYTES) &&
    digestOf(before) === place.before
  );
}

/**
 * Whether a file that has the same bytes before the place may be taken for a copy. An older one may begin in the same way, but nobody
 * has written to it since; a new log may, too, if it is not far from its beginning.
 */
async function mayBeCopy({ path, handle, ino, bornAt }: OpenFile, place: FilePlace, log: string): Promise<boolean> {
  // The number of a device can be another one after a restart of the machine.
  const same = ino === place.ino && bornAt === place.bornAt;
  const told = path !== log || same ? 1 : REMEMBERED_BYTES;
  return place.offset >= told && (await factsOf(handle)).mtimeMs >= place.mtimeMs;
}

async function first(files: OpenFile[], is: (file: OpenFile) => Promise<boolean>): Promise<OpenFile | undefined> {
  for (const file of files) if (await is(file)) return file;
  return undefined;
}
