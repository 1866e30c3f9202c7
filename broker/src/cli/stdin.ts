import { ByteWindow } from "./byte-window.ts";
import type { Source } from "./source.ts";
import { UsageError } from "./usage-error.ts";

/** How long whoever writes to stdin has for its last lines: Ctrl-C has reached it as well. Milliseconds in which we do wait for it. */
const LAST_LINES_MS = 500;
/** So much can have been written before the signal, and not been read: the largest pipe that a process makes without being root. */
const LAST_BYTES = 1024 * 1024;

/**
 * The bytes of stdin until it ends, or until shortly after `signal` is aborted: then with everything that had been written until that.
 *
 * @param lost told of a last line that was not ended, where that was not stdin's end: it may be half of one
 */
export function readStdin(stdin: typeof process.stdin, signal: AbortSignal, lost: (line: string) => void): Source {
  const window = new ByteWindow();
  const chunks: AsyncIterator<Buffer> = stdin[Symbol.asyncIterator]();
  let begins = true;
  let ended = false;
  let stopped = false;
  /** A wait for the writer. */
  let waiting: { since?: number; timer?: NodeJS.Timeout } | undefined;
  let patienceMs = stdin.isTTY ? 0 : LAST_LINES_MS;
  let lastBytes = LAST_BYTES + stdin.readableHighWaterMark;
  signal.addEventListener("abort", limitWait);

  function limitWait(): void {
    const wait = waiting;
    if (wait === undefined) return;
    wait.since = performance.now();
    // What is there already is read before that, however late the timer is.
    const giveUp = () => setImmediate(() => wait === waiting && stdin.destroy());
    wait.timer = setTimeout(giveUp, patienceMs);
  }

  async function next(): Promise<Buffer | undefined> {
    const wait: NonNullable<typeof waiting> = {};
    waiting = wait;
    // Only while it is the writer who is waited for: with a log that does not answer, it is us.
    if (signal.aborted) limitWait();
    try {
      const { done, value } = await chunks.next();
      return done === true ? undefined : value;
    } catch (error) {
      // Destroyed by `limitWait`.
      if (signal.aborted) return undefined;
      throw new UsageError(`cannot read stdin: ${(error as Error).message}`);
    } finally {
      waiting = undefined;
      clearTimeout(wait.timer);
      // In all, not each time: whoever writes on, slowly, could keep us.
      if (wait.since !== undefined) patienceMs -= Math.min(patienceMs, performance.now() - wait.since);
    }
  }

  return {
    get bytes() {
      return window.bytes;
    },
    get ended() {
      return ended;
    },
    get begins() {
      return begins;
    },
    take(count) {
      window.take(count);
      begins = false;
    },
    async more() {
      if (ended || stopped) return false;
      const chunk = lastBytes > 0 ? await next() : undefined;
      if (chunk !== undefined) {
        window.push(chunk);
        if (signal.aborted) lastBytes -= chunk.length;
        return true;
      }
      if (stdin.readableEnded) {
        ended = true;
        return true;
      }
      stopped = true;
      // What has no line feed may be the first half of a line, and would be read as a whole one.
      if (window.length > 0) {
        lost("the last line was not published: it had no line feed yet when there was no more time for it");
      }
      return false;
    },
    async close() {
      signal.removeEventListener("abort", limitWait);
    },
  };
}
