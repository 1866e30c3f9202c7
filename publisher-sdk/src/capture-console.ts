import { format } from "node:util";
import type { EventPayloads } from "@kata/protocol/wire";
import { type CaptureErrorListener, tell, tellOnce } from "./capture-error.ts";
import { textsOf } from "./line-cutter.ts";
import { type CaptureResult, LogFeed } from "./log-feed.ts";
import type { LogPublisher } from "./publisher.ts";
import { isQuiet } from "./quiet.ts";

type Level = NonNullable<EventPayloads["log_entry"]["level"]>;
type Print = (...args: unknown[]) => void;

const LEVELS = {
  log: "info",
  info: "info",
  warn: "warn",
  error: "error",
  debug: "debug",
  trace: "trace",
} as const satisfies Record<string, Level>;
type Method = keyof typeof LEVELS;
const METHODS = Object.keys(LEVELS) as Method[];

export interface CaptureConsoleOptions {
  /** Prints nothing any more. Default false: it is printed as before, and then published. */
  readonly silent?: boolean | undefined;
  /** The events' `source`: a component's name. */
  readonly source?: string | undefined;
  /** Default: the first failure is said on stderr, in one line. */
  readonly onError?: CaptureErrorListener | undefined;
  /** Default: the global one. */
  readonly console?: Pick<Console, Method> | undefined;
}

export interface ConsoleCapture extends AsyncDisposable {
  /** Gives the console its methods back; resolves when everything that was captured is settled. */
  restore(): Promise<CaptureResult>;
}

/**
 * From now on each call of `console.log`, `info`, `warn`, `error`, `debug` and `trace` is a `log_entry` too, with the text that is
 * printed (`util.format`; without the indentation of `console.group`), and the method's level. A call costs what formatting and
 * encoding cost; it never waits and never throws for it. What is printed because something is published is not captured, see
 * {@link withoutCapture}.
 */
export function captureConsole(
  publisher: LogPublisher,
  channel: string,
  options: CaptureConsoleOptions = {},
): ConsoleCapture {
  const { silent = false, source, console: target = console } = options;
  const onError = options.onError ?? tellOnce(`output to ${channel} was lost`);
  const feed = new LogFeed({ publisher, channel, onError, whenFull: "lose" });
  const originals = new Map<Method, Print>();
  /** Between a call and its end: console.trace prints through console.error, and a printed object's own code may print. */
  let inside = false;
  let active = true;

  const publish = (method: Method, args: readonly unknown[], patched: Print): void => {
    let text = format(...args);
    if (method === "trace") {
      const trace = { name: "Trace", message: text, stack: "" };
      Error.captureStackTrace(trace, patched);
      text = trace.stack;
    }
    const about = { level: LEVELS[method], ...(source !== undefined && { source }) };
    for (const part of textsOf(text)) feed.offer({ type: "log_entry", payload: { ...part, ...about } });
  };
  // An object's own code that throws while it is formatted; what printing it throws is the application's.
  const attempt = (run: () => void): void => {
    try {
      run();
    } catch (error) {
      tell(onError, error, 1);
    }
  };
  const capture = (method: Method, original: Print): Print => {
    const patched: Print = (...args) => {
      if (inside || !active) {
        if (!silent || !active) original.apply(target, args);
        return;
      }
      inside = true;
      try {
        // A report on publishing is printed in any case: it goes nowhere else.
        if (!silent || isQuiet()) original.apply(target, args);
        if (!isQuiet()) attempt(() => publish(method, args, patched));
      } finally {
        inside = false;
      }
    };
    return patched;
  };

  for (const method of METHODS) {
    const original = target[method] as Print;
    originals.set(method, original);
    target[method] = capture(method, original);
  }
  const patches = new Map(METHODS.map((method) => [method, target[method]]));

  const restore = async (): Promise<CaptureResult> => {
    active = false;
    for (const [method, original] of originals) {
      // Somebody may have put something of their own around it: then it stays, and only prints.
      if (target[method] === patches.get(method)) target[method] = original;
    }
    await feed.settled();
    return feed.result;
  };
  return {
    restore,
    [Symbol.asyncDispose]: async () => {
      await restore();
    },
  };
}
