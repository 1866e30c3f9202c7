const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

interface Closable {
  close(): Promise<void>;
}

/** All that are to be drained: the process may end when the last one is. */
const open = new Set<Closable>();

/** Closes the publisher when the process is told to end, and then lets it end by the same signal. Returns how to take that back. */
export function drainOnExit(publisher: Closable): () => void {
  // In front of the application's own: one that listens once is no longer among the listeners when it has been called.
  if (open.size === 0) for (const signal of SIGNALS) process.prependListener(signal, drain);
  open.add(publisher);
  return () => {
    if (open.delete(publisher) && open.size === 0) letGo();
  };
}

function drain(signal: NodeJS.Signals): void {
  // Whoever sends it again does not want to wait.
  letGo();
  // Whoever else listens decides for itself; with nobody left the signal does what it does to any process.
  const alone = process.listenerCount(signal) === 0;
  const closing = [...open].map((publisher) =>
    publisher.close().catch((error: unknown) => {
      process.stderr.write(`kata publisher: ${error instanceof Error ? error.message : String(error)}\n`);
    }),
  );
  void Promise.all(closing).then(() => {
    if (alone && process.listenerCount(signal) === 0) process.kill(process.pid, signal);
  });
}

function letGo(): void {
  for (const signal of SIGNALS) process.off(signal, drain);
}
