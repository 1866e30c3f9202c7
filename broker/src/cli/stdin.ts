import { type Line, LineCutter } from "./lines.ts";
import { UsageError } from "./usage-error.ts";

/** How long whoever writes to stdin has for its last lines: Ctrl-C has reached it as well. Milliseconds. */
const LAST_LINES_MS = 500;

/** The lines of stdin until it ends, or until shortly after `signal` is aborted. */
export async function* readStdin(stdin: typeof process.stdin, signal: AbortSignal): AsyncGenerator<Line> {
  const cutter = new LineCutter();
  let timer: NodeJS.Timeout | undefined;
  const stop = () => {
    timer = setTimeout(() => stdin.destroy(), stdin.isTTY ? 0 : LAST_LINES_MS);
  };
  signal.addEventListener("abort", stop);
  try {
    for await (const chunk of stdin) yield* cutter.push(chunk as Buffer);
  } catch (error) {
    // Destroyed by `stop`.
    if (!signal.aborted) throw new UsageError(`cannot read stdin: ${(error as Error).message}`);
  } finally {
    signal.removeEventListener("abort", stop);
    clearTimeout(timer);
  }
  yield* cutter.end();
}
