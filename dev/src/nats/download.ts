import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { messageOf } from "../message.ts";

export interface DownloadLimits {
  /** How long until the answer's headers are there, milliseconds. Short: an unreachable host must not hold up a start. */
  readonly connectMs: number;
  /** How long without a further byte, milliseconds. */
  readonly stallMs: number;
}

export const DOWNLOAD_LIMITS: DownloadLimits = { connectMs: 5_000, stallMs: 15_000 };

/** The body of `url` as text. Rejects with one line that names the URL and the reason. */
export async function downloadText(url: string, limits = DOWNLOAD_LIMITS): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of open(url, limits)) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

/** Writes the body of `url` to the file `path`. Rejects with one line that names the URL and the reason. */
export async function downloadFile(url: string, path: string, limits = DOWNLOAD_LIMITS): Promise<void> {
  await pipeline(Readable.from(open(url, limits)), createWriteStream(path));
}

async function* open(url: string, limits: DownloadLimits): AsyncGenerator<Buffer> {
  const abort = new AbortController();
  const give = (ms: number, why: string): NodeJS.Timeout => setTimeout(() => abort.abort(new Error(why)), ms);
  let timer = give(limits.connectMs, `no answer within ${limits.connectMs / 1000} s`);
  try {
    const response = await fetch(url, { signal: abort.signal });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    if (response.body === null) throw new Error("an empty answer");
    for await (const chunk of response.body) {
      clearTimeout(timer);
      yield Buffer.from(chunk);
      timer = give(limits.stallMs, `nothing more came for ${limits.stallMs / 1000} s`);
    }
  } catch (error) {
    throw new Error(`${url}: ${messageOf(error)}`);
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}
