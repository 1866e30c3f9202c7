import { createReadStream, existsSync, statSync } from "node:fs";
import { setTimeout as rest } from "node:timers/promises";
import { UsageError } from "./usage-error.ts";

/** How often a followed file is looked at for more, milliseconds. */
const POLL_MS = 100;

/**
 * The lines of a file from its beginning, and then what is appended to it, until `signal` is aborted. A last line
 * without a line feed is waited for; when following ends it is given as it is. A file that got shorter is read anew.
 *
 * @throws UsageError if there is no such file to begin with
 */
export async function* followFile(path: string, signal: AbortSignal): AsyncGenerator<string> {
  if (!existsSync(path) || !statSync(path).isFile())
    throw new UsageError(`${path} is no file: name one that exists, or - for stdin`);
  const lines = new Lines();
  let offset = 0;
  while (!signal.aborted) {
    const size = existsSync(path) ? statSync(path).size : 0;
    if (size < offset) offset = 0;
    if (size === offset) {
      await rest(POLL_MS, undefined, { signal }).catch(() => undefined);
      continue;
    }
    for await (const chunk of createReadStream(path, { start: offset, end: size - 1 })) {
      offset += (chunk as Buffer).length;
      yield* lines.push(chunk as Buffer);
      if (signal.aborted) return;
    }
  }
  yield* lines.end();
}

/** The lines of a stream until it ends, or until `signal` is aborted. */
export async function* readLines(stream: NodeJS.ReadableStream, signal: AbortSignal): AsyncGenerator<string> {
  const lines = new Lines();
  const stop = () => (stream as NodeJS.ReadStream).destroy();
  signal.addEventListener("abort", stop);
  try {
    for await (const chunk of stream) yield* lines.push(Buffer.from(chunk));
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
  yield* lines.end();
}

/** Cuts bytes into lines: at \n, without a \r before it. Bytes, so that a character on the edge of a chunk stays whole. */
class Lines {
  #rest: Buffer[] = [];

  *push(chunk: Buffer): Generator<string> {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      this.#rest.push(chunk.subarray(start, end));
      yield this.#take();
      start = end + 1;
    }
    if (start < chunk.length) this.#rest.push(Buffer.from(chunk.subarray(start)));
  }

  *end(): Generator<string> {
    if (this.#rest.length > 0) yield this.#take();
  }

  #take(): string {
    const line = Buffer.concat(this.#rest).toString("utf8");
    this.#rest = [];
    return line.endsWith("\r") ? line.slice(0, -1) : line;
  }
}
