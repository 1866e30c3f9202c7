import type { HttpResponse } from "uWebSockets.js";

/** A request whose body is on its way. */
export interface IncomingBody {
  /** `too large` as soon as more than the limit came, `aborted` if the client went away before all had come. */
  readonly read: Promise<Buffer | "too large" | "aborted">;
  /** Whether the client is gone, before or after its body: the response must not be used any more. */
  readonly aborted: boolean;
}

/** Takes in a request's body. Must be called before anything is awaited. */
export function receiveBody(res: HttpResponse, maxBytes: number): IncomingBody {
  let aborted = false;
  const read = new Promise<Buffer | "too large" | "aborted">((resolve) => {
    let chunks: Buffer[] = [];
    let size = 0;
    res.onAborted(() => {
      aborted = true;
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
  return {
    read,
    get aborted() {
      return aborted;
    },
  };
}
