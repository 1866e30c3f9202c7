import type { NatsConnection } from "@nats-io/transport-node";

/** Who is to be told that a connection is closed. */
const told = new WeakMap<NatsConnection, Set<() => void>>();

/**
 * Calls `listener` when the connection is closed for good. Returns how to take that back: what hangs on the connection's own promise
 * stays there as long as the connection does, and one connection can outlive many publishers.
 */
export function onClosed(nc: NatsConnection, listener: () => void): () => void {
  let listeners = told.get(nc);
  if (listeners === undefined) {
    const all = new Set<() => void>();
    listeners = all;
    told.set(nc, all);
    void nc.closed().then(() => {
      for (const each of all) each();
    });
  }
  const all = listeners;
  all.add(listener);
  return () => void all.delete(listener);
}
