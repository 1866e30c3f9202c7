import type { NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "../logger.ts";
import { type Connections, PAGE } from "./connections.ts";

/**
 * When the servers are asked, after a revocation, milliseconds: at once, and again because somebody may have been let
 * in just before it who was not connected yet. nats.conf gives him three seconds.
 */
const ROUNDS_MS: readonly number[] = [0, 1_000, 4_000];

export interface Kicker {
  /** Ends every NATS connection of the key that is there now; who has a valid secret comes back. */
  kick(keyId: string): void;
  close(): void;
}

/** Finds and ends NATS connections of keys, on every server of the cluster. */
export function createKicker(nc: NatsConnection, connections: Connections, logger: Logger): Kicker {
  const timers = new Set<NodeJS.Timeout>();

  const round = async (keyId: string, since: Map<string, number>): Promise<void> => {
    // A server with more of them than it tells of at a time is asked again: those it told of are gone by then.
    for (let more = true; more && !nc.isClosed(); ) {
      more = false;
      for await (const { server, now, connections: listed } of connections.list({ user: keyId })) {
        // By the server's own clock: who came after the revocation was looked at after it.
        const until = since.get(server) ?? now;
        since.set(server, until);
        const old = listed.filter(({ user, start }) => user === keyId && start <= until);
        await Promise.all(old.map(({ cid }) => connections.end(server, cid)));
        if (old.length > 0) logger.info({ keyId, connections: old.length }, "ended NATS connections of a revoked key");
        more ||= listed.length >= PAGE && old.length > 0;
      }
    }
  };

  return {
    kick(keyId) {
      const since = new Map<string, number>();
      for (const ms of ROUNDS_MS) {
        const timer = setTimeout(() => {
          timers.delete(timer);
          round(keyId, since).catch((error: unknown) => {
            if (nc.isClosed()) return;
            logger.error({ err: error, keyId }, "cannot look for the NATS connections of a revoked key");
          });
        }, ms);
        timer.unref();
        timers.add(timer);
      }
    },
    close() {
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
    },
  };
}
