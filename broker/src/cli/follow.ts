import { type FileHandle, open, stat } from "node:fs/promises";
import { setTimeout as rest } from "node:timers/promises";
import { type Line, LineCutter } from "./lines.ts";
import { UsageError } from "./usage-error.ts";

/** How often a followed file is looked at for more, milliseconds. */
const POLL_MS = 100;
const CHUNK_BYTES = 256 * 1024;

/**
 * The lines of a file from its beginning, and then what is appended to it, until `signal` is aborted: what the file holds
 * at that moment is still given. A last line without a line feed is waited for until then. A file that was cut short is
 * read anew, and so is another one that took its place (log rotation), after the rest of the old one.
 *
 * @throws UsageError if there is no such file, or it cannot be read
 */
export async function* followFile(path: string, signal: AbortSignal): AsyncGenerator<Line> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let file = await openFile(path);
  try {
    const cutter = new LineCutter();
    let offset = 0;
    let end = Number.POSITIVE_INFINITY;
    let replaced = false;
    while (offset < end) {
      if (signal.aborted && end === Number.POSITIVE_INFINITY) {
        end = (await file.stat()).size;
        continue;
      }
      const { bytesRead } = await file.read(chunk, 0, Math.min(CHUNK_BYTES, end - offset), offset);
      offset += bytesRead;
      if (bytesRead > 0) {
        yield* cutter.push(chunk.subarray(0, bytesRead));
        continue;
      }
      if (end !== Number.POSITIVE_INFINITY) break;
      // One that cannot be opened is gone again already: the next look tells.
      const next: FileHandle | undefined = replaced ? await openFile(path).catch(() => undefined) : undefined;
      if (next !== undefined) {
        await file.close();
        file = next;
      }
      if (next !== undefined || (await file.stat()).size < offset) {
        yield* cutter.end();
        offset = 0;
      }
      // Acted upon after one more look at the old file: whoever wrote to it did so until the moment it was replaced.
      replaced = next === undefined && (await isAnother(path, file));
      if (!replaced) await rest(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
    yield* cutter.end();
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await file.close();
  }
}

async function openFile(path: string): Promise<FileHandle> {
  let file: FileHandle | undefined;
  try {
    // Asked first: to open a FIFO would wait for somebody who writes to it.
    if ((await stat(path)).isFile()) file = await open(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  if (file === undefined) throw new UsageError(`${path} is no file: name one, or - for stdin`);
  return file;
}

/** Whether another file has the name now; none does not count, it may still come. */
async function isAnother(path: string, file: FileHandle): Promise<boolean> {
  const [now, then] = await Promise.all([stat(path).catch(() => undefined), file.stat()]);
  return now?.isFile() === true && (now.ino !== then.ino || now.dev !== then.dev);
}

function unreadable(path: string, error: unknown): unknown {
  if (!(error instanceof Error && "code" in error)) return error;
  if (error.code === "ENOENT") return new UsageError(`there is no file ${path}: name one that exists, or - for stdin`);
  return new UsageError(`cannot read ${path}: ${error.message}`);
}
