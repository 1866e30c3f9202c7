import type { NatsConnection } from "@nats-io/transport-node";
import { PUBLISHERS } from "./answers.ts";

const CONNECTIONS = `$SYS.REQ.ACCOUNT.${PUBLISHERS}.CONNZ`;
/** Connections that one server tells of at a time: its own default. */
export const PAGE = 1_024;
/** How long the servers of a cluster may take to answer, and how long after the last answer no other is waited for, milliseconds. */
const ANSWER_MS = 900;
const STALL_MS = 300;

/** What one server tells of publishers' connections: the part of nats-server's CONNZ answer that is looked at. */
export interface ServerConnections {
  readonly server: string;
  /** The server's own time, milliseconds since 1970. */
  readonly now: number;
  /** `user` is the key's id; a server never gives a `cid` twice. */
  readonly connections: readonly { readonly cid: number; readonly user: string; readonly start: number }[];
}

/** Publishers' connections at all servers of the cluster. */
export interface Connections {
  /** A page of them, a server at a time: those of a key, or of all. */
  list(query: { readonly user?: string; readonly offset?: number }): AsyncIterable<ServerConnections>;
  end(server: string, cid: number): Promise<void>;
}

export function createConnections(nc: NatsConnection): Connections {
  return {
    async *list(query) {
      const body = JSON.stringify({ auth: true, acc: PUBLISHERS, limit: PAGE, ...query });
      const answers = await nc.requestMany(CONNECTIONS, body, {
        strategy: "stall",
        maxWait: ANSWER_MS,
        stall: STALL_MS,
      });
      for await (const msg of answers) {
        const answer = readConnections(msg.json<unknown>());
        if (answer !== undefined) yield answer;
      }
    },
    async end(server, cid) {
      // A request, though the answer says nothing: nats-server does not hear one across accounts that wants none.
      await nc.request(`$SYS.REQ.SERVER.${server}.KICK`, JSON.stringify({ cid }), { timeout: ANSWER_MS });
    },
  };
}

function readConnections(answer: unknown): ServerConnections | undefined {
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
