import { type FileHandle, open, stat } from "node:fs/promises";
import { UsageError } from "./usage-error.ts";

/** Which file it is, whatever its name. */
export interface FileId {
  readonly dev: string;
  readonly ino: string;
  /** When it was made, ns since 1970, 0 where the file system does not know: the inode of a deleted file is given out again. */
  readonly bornAt: string;
}

export interface FileFacts extends FileId {
  /** Bytes. */
  readonly size: number;
  /** When it was last written to, ms since 1970, finer than that; of the file system's own clock. */
  readonly mtimeMs: number;
}

export interface OpenFile extends FileId {
  /** Under which name it was opened. */
  readonly path: string;
  readonly handle: FileHandle;
}

/** There is no such file. */
export class MissingFile extends UsageError {}

/** @throws MissingFile; UsageError if it is none, or cannot be read */
export async function openFile(path: string): Promise<OpenFile> {
  try {
    // Asked first: to open a FIFO would wait for somebody who writes to it.
    if ((await stat(path)).isFile()) {
      const handle = await open(path);
      const { dev, ino, bornAt } = await factsOf(handle);
      return { path, handle, dev, ino, bornAt };
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  throw new UsageError(`${path} is no file: name one, or - for stdin`);
}

export async function factsOf(handle: FileHandle): Promise<FileFacts> {
  return facts(await handle.stat({ bigint: true }));
}

/** `undefined` if no file has this name now. */
export async function factsAt(path: string): Promise<FileFacts | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found?.isFile() === true ? facts(found) : undefined;
}

export function sameFile(one: FileId, other: FileId): boolean {
  return one.ino === other.ino && one.dev === other.dev && one.bornAt === other.bornAt;
}

export function unreadable(path: string, error: unknown): unknown {
  if (!(error instanceof Error && "code" in error)) return error;
  if (error.code === "ENOENT") return new MissingFile(`there is no file ${path}: name one that exists, or - for stdin`);
  return new UsageError(`cannot read ${path}: ${error.message}`);
}

function facts(from: { dev: bigint; ino: bigint; size: bigint; mtimeNs: bigint; birthtimeNs: bigint }): FileFacts {
  return {
    dev: String(from.dev),
    ino: String(from.ino),
    size: Number(from.size),
    mtimeMs: Number(from.mtimeNs) / 1e6,
    bornAt: String(from.birthtimeNs),
  };
}
