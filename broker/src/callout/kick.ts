import type { NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "../logger.ts";
import { PUBLISHERS } from "./answers.ts";

const CONNECTIONS = `$SYS.REQ.ACCOUNT.${PUBLISHERS}.CONNZ`;
/** Connections that one server tells of at a time: its own default. */
const PAGE = 1_024;
/** How long the servers of a cluster may take to answer, and how long after the last answer no other is waited for, milliseconds. */
const ANSWER_MS = 900;
const STALL_MS = 300;
/**
 * When the servers are asked, after a revocation, milliseconds: at once, and again because somebody may have been let
 * in just before it who was not connected yet. nats.conf gives him three seconds.
 */
const ROUNDS_MS: readonly number[] = [0, 1_000, 4_000];

/** The part of nats-server's CONNZ answer that is looked at. */
interface Connections {
  readonly server: string;
  /** The server's own time, milliseconds since 1970. */
  readonly now: number;
  readonly connections: readonly { readonly cid: number; readonly user: string; readonly start: number }[];
}

export interface Kicker {
  /** Ends every NATS connection of the key that is there now; who has a valid secret comes back. */
  kick(keyId: string): void;
  close(): void;
}

/** Finds and ends NATS connections of keys, on every server of the cluster. */
export function createKicker(nc: NatsConnection, logger: Logger): Kicker {
  const timers = new Set<NodeJS.Timeout>();

  const end = async (server: string, cid: number): Promise<void> => {
    // A request, though the answer says nothing: nats-server does not hear one across accounts that wants none.
    await nc.request(`$SYS.REQ.SERVER.${server}.KICK`, JSON.stringify({ cid }), { timeout: ANSWER_MS });
  };

  const round = async (keyId: string, since: Map<string, number>): Promise<void> => {
    // A server with more of them than it tells of at a time is asked again: those it told of are gone by then.
    for (let more = true; more && !nc.isClosed(); ) {
      more = false;
      const query = JSON.stringify({ auth: true, acc: PUBLISHERS, user: keyId, limit: PAGE });
      const answers = await nc.requestMany(CONNECTIONS, query, {
        strategy: "stall",
        maxWait: ANSWER_MS,
        stall: STALL_MS,
      });
      for await (const msg of answers) {
        const answer = readConnections(msg.json<unknown>());
        if (answer === undefined) continue;
        const { server, now, connections } = answer;
        // By the server's own clock: who came after the revocation was looked at after it.
        const until = since.get(server) ?? now;
        since.set(server, until);
        const old = connections.filter(({ user, start }) => user === keyId && start <= until);
        await Promise.all(old.map(({ cid }) => end(server, cid)));
        if (old.length > 0) logger.info({ keyId, connections: old.length }, "ended NATS connections of a revoked key");
        more ||= connections.length >= PAGE && old.length > 0;
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

function readConnections(answer: unknown): Connections | undefined {
  const { server, data } = recordOf(answer);
  const { id } = recordOf(server);
  const { now, connections } = recordOf(data);
  if (typeof id !== "string" || typeof now !== "string" || !Array.isArray(connections)) return undefined;
  return {
    server: id,
    now: Date.parse(now),
    connections: connections.map(recordOf).flatMap(({ cid, authorized_user, start }) => {
      if (typeof cid !== "number" || typeof authorized_user !== "string" || typeof start !== "string") return [];
      return [{ cid, user: authorized_user, start: Date.parse(start) }];
    }),
  };
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
