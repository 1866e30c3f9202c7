import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type NatsSecrets, natsServerEnv } from "@kata/broker";
import { writeAtomic } from "./atomic-file.ts";
import type { DataDirectory } from "./data-directory.ts";
import { stopLeftOver } from "./left-over.ts";
import { findNatsServer } from "./nats/find.ts";
import { createNatsServer, type NatsServer } from "./nats/server.ts";
import { NatsServerFailed } from "./nats/startup.ts";
import { describeProcess } from "./process-file.ts";
import { UserError } from "./user-error.ts";

const NATS_CONF = fileURLToPath(new URL("../../nats.conf", import.meta.url));

export interface OwnNatsOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly secrets: NatsSecrets;
  readonly data: DataDirectory;
  readonly port: number;
  /** Told what is done before the server runs: where it comes from, what had to be fetched. */
  readonly report: (line: string) => void;
  readonly onLogLine: (line: string) => void;
  readonly onCrash: (reason: string) => void;
  /** Told how to end the server, before it is started. */
  readonly onCreated: (server: NatsServer, end: () => Promise<void>) => void;
}

/** Runs nats-server on the data directory's store. */
export async function startOwnNats(options: OwnNatsOptions): Promise<NatsServer> {
  const { data, port, report, onLogLine, onCrash, onCreated } = options;
  const env = { ...options.env, ...natsServerEnv(options.secrets) };
  const stopped = await stopLeftOver(data.natsFile);
  if (stopped !== undefined) report(`nats-server: stopped process ${stopped}, left over from a start that was killed`);
  const { path } = await findNatsServer({ env, report });
  const server = createNatsServer({
    binary: path,
    configFile: NATS_CONF,
    storeDir: data.store,
    port,
    env,
    onLogLine,
    onCrash,
  });
  onCreated(server, async () => {
    await server.stop();
    await rm(data.natsFile, { force: true });
  });
  try {
    await server.start();
  } catch (error) {
    if (!(error instanceof NatsServerFailed) || error.code !== "EADDRINUSE") throw error;
    throw new UserError(
      `port ${port}, where nats-server is to listen, is taken: set KATA_NATS_PORT to another (0 takes a free one), or NATS_URL=nats://127.0.0.1:${port} if a NATS server of yours is there`,
    );
  }
  if (server.pid !== undefined) await writeAtomic(data.natsFile, await describeProcess(server.pid));
  return server;
}
