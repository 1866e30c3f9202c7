import type { HttpResponse } from "uWebSockets.js";

/**
 * Reads a request's body. `too large` as soon as more than `maxBytes` came; `aborted` if the client went away before
 * all had come. Must be called before anything is awaited.
 *
 * @param onAborted called when the client goes away, then or later: the response must not be used any more
 */
export function readBody(
  res: HttpResponse,
  maxBytes: number,
  onAborted: () => void,
): Promise<Buffer | "too large" | "aborted"> {
  return new Promise((resolve) => {
    let chunks: Buffer[] = [];
    let size = 0;
    res.onAborted(() => {
      onAborted();
      resolve("aborted");
    });
    res.onData((chunk, isLast) => {
      size += chunk.byteLength;
      if (size > maxBytes) {
        chunks = [];
        resolve("too large");
        return;
      }
      // The chunk dies with this callback.
      chunks.push(Buffer.from(new Uint8Array(chunk)));
      if (isLast) resolve(Buffer.concat(chunks, size));
    });
  });
}
