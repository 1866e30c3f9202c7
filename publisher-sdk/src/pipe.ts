import { PublisherError, QueueFullError, withUnknown } from "./errors.ts";
import type { EventInput } from "./event.ts";
import type { PublishResult } from "./outcome.ts";
import type { PipeOptions, PipeResult, PublishOptions } from "./publish-options.ts";

const WINDOW_BYTES = 8 * 1024 * 1024;

export type Source<T> = AsyncIterable<T> | Iterable<T>;

/** What a pipe needs of its publisher. */
export interface PipePort {
  /** @throws PublisherError at once for what is not accepted */
  publish(channel: string, event: EventInput, options: PublishOptions): Promise<PublishResult>;
  /** The widest window, bytes. */
  readonly maxWindowBytes: number;
  /** Whether more than so much is queued, bytes, and how to be told when it is not any more. */
  isOver(bytes: number): boolean;
  room(bytes: number): Promise<void>;
  /** Calls `listener` when nothing is taken any more; returns how to take that back. */
  onClosed(listener: () => void): () => void;
}

/** Publishes what a source gives, and lets it wait while too much is on its way. */
export async function pipe(port: PipePort, source: Source<EventInput>, options: PipeOptions): Promise<PipeResult> {
  const { channel, signal, onResult, windowBytes = WINDOW_BYTES, timeoutMs } = options;
  if (typeof windowBytes !== "number" || !(windowBytes >= 1)) throw new TypeError("windowBytes must be 1 or more");
  const window = Math.min(windowBytes, port.maxWindowBytes);
  const published: PublishOptions = { signal, timeoutMs };
  const items = iteratorOf(source);
  let events = 0;
  let duplicates = 0;
  let pending = 0;
  let failure: { readonly error: unknown } | undefined;
  /** Whether the log has events, or may get some, that `onResult` is not told of. */
  let untold = false;
  /** Ends what is waited for: the source, or the last acknowledgement. */
  let wake = (): void => undefined;

  const fail = (error: unknown): void => {
    failure ??= { error };
    wake();
  };
  const stored = (result: PublishResult): void => {
    events++;
    if (result.duplicate) duplicates++;
    pending--;
    if (onResult === undefined) untold = true;
    try {
      onResult?.(result);
    } catch (error) {
      fail(error);
    }
    if (pending === 0) wake();
  };
  const rejected = (error: unknown): void => {
    pending--;
    if (!(error instanceof PublisherError) || error.stored === "unknown") untold = true;
    fail(error);
  };
  const abort = (): void => fail(new PublisherError("aborted", "the pipe was aborted"));
  // The source may never give anything again: a failure must not wait for it.
  const next = (): Promise<IteratorResult<EventInput> | undefined> =>
    new Promise((resolve, reject) => {
      wake = () => {
        if (failure !== undefined) resolve(undefined);
      };
      Promise.resolve(items.next()).then(resolve, reject);
    });

  const room = (bytes: number): Promise<void> =>
    new Promise((resolve) => {
      wake = () => {
        if (failure !== undefined) resolve();
      };
      void port.room(bytes).then(resolve);
    });
  /** Published in its turn, although others may have filled the queue meanwhile. In an object, since it is not to be awaited. */
  const accepted = async (
    target: string,
    event: EventInput,
  ): Promise<{ readonly published: Promise<PublishResult> } | undefined> => {
    while (failure === undefined) {
      try {
        return { published: port.publish(target, event, published) };
      } catch (error) {
        if (!(error instanceof QueueFullError)) throw error;
        // What is refused may be larger than the half that is free: then it waits until there is less than there was.
        await room(Math.min(error.maxQueueBytes / 2, error.queuedBytes - 1));
      }
    }
    return undefined;
  };

  signal?.addEventListener("abort", abort, { once: true });
  // The source may be silent for ever, and would not be told.
  const stop = port.onClosed(() => fail(new PublisherError("closed", "the publisher is closed")));
  let ended = false;
  try {
    if (signal?.aborted === true) abort();
    while (failure === undefined) {
      const item = await next();
      if (item === undefined) break;
      if (item.done === true) {
        ended = true;
        break;
      }
      const target = channel ?? (item.value as { readonly channel?: unknown } | null)?.channel;
      if (typeof target !== "string") {
        throw new PublisherError("invalid_channel", "give pipe a channel, or each event of the source one of its own");
      }
      const result = await accepted(target, item.value);
      if (result === undefined) break;
      pending++;
      result.published.then(stored, rejected);
      if (port.isOver(window)) await room(window);
    }
  } catch (error) {
    failure ??= { error };
  }
  signal?.removeEventListener("abort", abort);
  stop();
  if (!ended) letGo(items);
  // What is on its way is settled first: only then is it known whether more of it is in the log than was told.
  while (pending > 0) {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  if (failure !== undefined) {
    const { error } = failure;
    throw untold && error instanceof PublisherError ? withUnknown(error) : error;
  }
  return { events, duplicates };
}

/**
 * Not awaited: a generator that waits for something answers only afterwards. What it throws, at once or later, is not why the pipe
 * failed.
 */
function letGo(items: AsyncIterator<unknown> | Iterator<unknown>): void {
  const answer = async (): Promise<unknown> => items.return?.();
  answer().catch(() => undefined);
}

function iteratorOf<T>(source: Source<T>): AsyncIterator<T> | Iterator<T> {
  if (typeof source === "object" && source !== null) {
    if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
    if (Symbol.iterator in source) return source[Symbol.iterator]();
  }
  throw new TypeError("pipe takes an iterable or an async iterable of events");
}
