import { ByteWindow } from "./byte-window.ts";
import type { Source } from "./source.ts";
import { UsageError } from "./usage-error.ts";

/** How long whoever writes to stdin has for its last lines: Ctrl-C has reached it as well. Milliseconds. */
const LAST_LINES_MS = 500;

/** The bytes of stdin until it ends, or until shortly after `signal` is aborted. */
export function readStdin(stdin: typeof process.stdin, signal: AbortSignal): Source {
  const window = new ByteWindow();
  const chunks: AsyncIterator<Buffer> = stdin[Symbol.asyncIterator]();
  let ended = false;
  let timer: NodeJS.Timeout | undefined;
  const stop = () => {
    timer = setTimeout(() => stdin.destroy(), stdin.isTTY ? 0 : LAST_LINES_MS);
  };
  signal.addEventListener("abort", stop);

  async function next(): Promise<Buffer | undefined> {
    try {
      const { done, value } = await chunks.next();
      return done === true ? undefined : value;
    } catch (error) {
      // Destroyed by `stop`.
      if (signal.aborted) return undefined;
      throw new UsageError(`cannot read stdin: ${(error as Error).message}`);
    }
  }

  return {
    get bytes() {
      return window.bytes;
    },
    get ended() {
      return ended;
    },
    take: (count) => window.take(count),
    async more() {
      if (ended) return false;
      const chunk = await next();
      if (chunk === undefined) ended = true;
      else window.push(chunk);
      return true;
    },
    async close() {
      signal.removeEventListener("abort", stop);
      clearTimeout(timer);
    },
  };
}
