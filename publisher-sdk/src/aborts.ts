/** Who is to be told of a signal. One listener a signal: Node warns of a leak where many publishes share one. */
const told = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls `listener` once when the signal is aborted. Returns how to take that back. */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  let listeners = told.get(signal);
  if (listeners === undefined) {
    const all = new Set<() => void>();
    listeners = all;
    told.set(signal, all);
    const abort = (): void => {
      told.delete(signal);
      for (const each of all) each();
    };
    signal.addEventListener("abort", abort, { once: true });
    listenersOf.set(all, abort);
  }
  const all = listeners;
  all.add(listener);
  return () => {
    all.delete(listener);
    const abort = listenersOf.get(all);
    if (all.size > 0 || abort === undefined) return;
    signal.removeEventListener("abort", abort);
    if (told.get(signal) === all) told.delete(signal);
  };
}

const listenersOf = new WeakMap<Set<() => void>, () => void>();
