import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { findNatsServer, type NatsServer, NatsServerFailed, startNatsServer } from "@kata/dev";
import { STREAM } from "@kata/protocol/wire";
import { JetStreamApiError, jetstreamManager, type StreamInfo } from "@nats-io/jetstream";
import { connect, type NatsConnection, RequestError, TimeoutError } from "@nats-io/transport-node";
import { vi } from "vitest";
import { freePort } from "./free-port.ts";
import { NATS_CONF } from "./nats-process.ts";
import { BROKER_LOGIN, brokerUrl, NATS_SERVER_ENV } from "./nats-secrets.ts";
import { ensureTestStream } from "./stream.ts";

const SIZE = 3;
/** An election after a leader died without a word takes up to 9 s (raft.go, 2.15), and its stream may need a second one. */
const PATIENCE = { timeout: 40_000, interval: 20 };

/** One of the servers. */
export interface ClusterServer {
  readonly name: string;
  /** nats://broker:<password>@127.0.0.1:<port>, the same after kill() and start(). */
  readonly url: string;
  /** SIGKILL; resolves when it is dead. */
  kill(): Promise<void>;
  /** Runs it again: the same ports, the same data. Resolves when it takes connections. */
  start(): Promise<void>;
}

/** Three nats-servers with the repository's nats.conf, and the stream on all of them. Dispose it with `await using`. */
export interface NatsCluster extends AsyncDisposable {
  readonly servers: readonly ClusterServer[];
  /** A connection of the test's own, to whichever is there. */
  readonly nc: NatsConnection;
  /** The server that leads the stream, once there is one that says so. */
  leader(): Promise<ClusterServer>;
  /** Asks the stream's leader to hand over; resolves with the new one, which is another. */
  stepDown(): Promise<ClusterServer>;
  /** Resolves with the leader when every replica has all that it has. */
  current(): Promise<ClusterServer>;
  /** The server that holds the connection of this name. */
  connectedTo(clientName: string): Promise<ClusterServer>;
}

interface Ports {
  readonly client: number;
  readonly route: number;
}

/** Starts three servers with routes to each other, and makes the stream with three replicas. */
export async function startNatsCluster(): Promise<NatsCluster> {
  const { path } = await findNatsServer({ env: process.env, report: () => undefined });
  const directory = await mkdtemp(join(tmpdir(), "kata-nats-cluster-"));
  const nodes = await startNodes(path, directory);
  const servers = nodes.map((server, n) => clusterServer(server, n));
  const nc = await connect({
    servers: nodes.map(({ port }) => `127.0.0.1:${port}`),
    ...BROKER_LOGIN,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  const close = async (): Promise<void> => {
    await nc.close();
    await Promise.all(nodes.map((node) => node.kill()));
    await rm(directory, { recursive: true, force: true });
  };

  // What asks for the manager asks the cluster's own leader, too: it may be another than the stream's, and be gone.
  const streamInfo = async (): Promise<StreamInfo> =>
    (await jetstreamManager(nc, { timeout: 2_000 })).streams.info(STREAM);
  const named = (name: string | undefined): ClusterServer => {
    const server = servers.find((each) => each.name === name);
    if (server === undefined) throw new Error(`no server is called ${name}`);
    return server;
  };
  const current = () =>
    vi.waitFor(async () => {
      const { cluster } = await streamInfo();
      const behind = (cluster?.replicas ?? []).filter(
        ({ current, offline, lag = 0 }) => !current || offline || lag > 0,
      );
      if (cluster?.replicas?.length !== SIZE - 1 || behind.length > 0) {
        throw new Error(`replicas are behind: ${JSON.stringify(cluster)}`);
      }
      return named(cluster.leader);
    }, PATIENCE);
  const leader = () => vi.waitFor(async () => named((await streamInfo()).cluster?.leader), PATIENCE);
  const cluster: NatsCluster = {
    servers,
    nc,
    leader,
    current,
    async stepDown() {
      const before = await leader();
      await nc.request(`$JS.API.STREAM.LEADER.STEPDOWN.${STREAM}`, "", { timeout: 5_000 });
      return await vi.waitFor(async () => {
        const now = await leader();
        if (now === before) throw new Error(`${now.name} leads still`);
        return now;
      }, PATIENCE);
    },
    connectedTo: (clientName) =>
      vi.waitFor(async () => {
        for await (const answer of await nc.requestMany("$SYS.REQ.ACCOUNT.PING.CONNZ", "{}", {
          strategy: "count",
          maxMessages: SIZE,
          maxWait: 500,
        })) {
          const { server, data } = answer.json<{
            server: { name: string };
            data?: { connections?: readonly { name?: string }[] };
          }>();
          if (data?.connections?.some(({ name }) => name === clientName)) return named(server.name);
        }
        throw new Error(`nobody has a connection called ${clientName}`);
      }, PATIENCE),
    [Symbol.asyncDispose]: close,
  };
  try {
    await untilAnswered(() => ensureTestStream(nc, { num_replicas: SIZE }));
    await current();
  } catch (error) {
    await close();
    throw error;
  }
  return cluster;
}

/** Until a cluster has its leader, JetStream says that it is not there, or nothing. */
async function untilAnswered(ask: () => Promise<void>): Promise<void> {
  await vi.waitFor(
    () =>
      ask().catch((error: unknown) => {
        const notYet =
          error instanceof TimeoutError || error instanceof RequestError || error instanceof JetStreamApiError;
        // What will not pass by itself ends the wait.
        if (!notYet) throw new Error("the stream cannot be made", { cause: error });
        throw error;
      }),
    PATIENCE,
  );
}

async function startNodes(binary: string, directory: string, attempts = 5): Promise<NatsServer[]> {
  const ports = await Promise.all(
    Array.from({ length: SIZE }, async (): Promise<Ports> => ({ client: await freePort(), route: await freePort() })),
  );
  const starts = await Promise.allSettled(
    ports.map(async ({ client: port }, n) => {
      const home = join(directory, `n${n}`);
      const configFile = join(home, "cluster.conf");
      await mkdir(home, { recursive: true });
      await writeFile(configFile, configOf(home, n, ports));
      const routes = createRoutes();
      const server = await startNatsServer({
        binary,
        configFile,
        storeDir: join(home, "store"),
        port,
        env: { ...process.env, ...NATS_SERVER_ENV },
        onParentDeath: "KILL",
        removeOnParentDeath: directory,
        onLogLine: routes.line,
      });
      // It is ready before it listens for the others, and dies where it cannot.
      await routes.ready.catch((error: unknown) => server.kill().then(() => Promise.reject(error)));
      return server;
    }),
  );
  const nodes = starts.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
  const failed = starts.find((start) => start.status === "rejected");
  if (failed === undefined) return nodes;
  await Promise.all(nodes.map((node) => node.kill()));
  // Another test took a port in between.
  const taken = failed.reason instanceof NatsServerFailed && failed.reason.code === "EADDRINUSE";
  if (!taken || attempts <= 1) throw failed.reason;
  return startNodes(binary, directory, attempts - 1);
}

/** Follows the log of a starting server until it listens for the others. */
function createRoutes(): { readonly ready: Promise<void>; line(line: string): void } {
  let resolve: () => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const ready = new Promise<void>((resolveReady, rejectReady) => {
    resolve = resolveReady;
    reject = rejectReady;
  });
  // One that died before it was ready is told so by its start, and nobody waits here.
  ready.catch(() => undefined);
  return {
    ready,
    line(line) {
      if (line.includes("Listening for route connections")) resolve();
      if (line.includes("[FTL]")) reject(new NatsServerFailed("", [line]));
    },
  };
}

/** The repository's own configuration, and what a cluster needs beside it. An include is named from where it is included. */
function configOf(home: string, n: number, ports: readonly Ports[]): string {
  const routes = ports.map(({ route }) => `nats://127.0.0.1:${route}`).join(", ");
  return `include "${relative(home, NATS_CONF)}"
server_name: n${n}
cluster {
  name: kata-test
  listen: "127.0.0.1:${ports[n]?.route}"
  routes: [${routes}]
}
`;
}

function clusterServer(server: NatsServer, n: number): ClusterServer {
  return {
    name: `n${n}`,
    url: brokerUrl(server.port),
    kill: () => server.kill(),
    start: () => server.start(),
  };
}
