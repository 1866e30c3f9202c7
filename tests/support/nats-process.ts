import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findNatsServer, type NatsBinary, type NatsServer, NatsServerFailed, startNatsServer } from "@kata/dev";
import { freePort } from "./free-port.ts";
import type { TestNats } from "./nats.ts";
import { brokerUrl, NATS_SERVER_ENV } from "./nats-secrets.ts";

export const NATS_CONF = fileURLToPath(new URL("../../nats.conf", import.meta.url));

let binary: Promise<NatsBinary> | undefined;

/** nats-server as a child process that does not outlive this one, in a temporary directory that does not either. */
export async function startProcessNats(): Promise<TestNats> {
  // The global set-up has fetched it; what is reported once there need not be repeated by every file.
  binary ??= findNatsServer({ env: process.env, report: () => undefined });
  const { path } = await binary;
  const directory = await mkdtemp(join(tmpdir(), "kata-nats-"));
  const storeDirectory = join(directory, "store");
  const server = await startOnFreePort(path, directory, storeDirectory);
  return {
    url: brokerUrl(server.port),
    publicUrl: server.url,
    port: server.port,
    storeDirectory,
    kill: () => server.kill(),
    stop: () => server.stop(),
    start: () => server.start(),
    suspend: () => server.suspend(),
    resume: () => server.resume(),
    async [Symbol.asyncDispose]() {
      await server.kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function startOnFreePort(path: string, directory: string, storeDir: string, attempts = 5): Promise<NatsServer> {
  try {
    return await startNatsServer({
      binary: path,
      configFile: NATS_CONF,
      storeDir,
      port: await freePort(),
      env: { ...process.env, ...NATS_SERVER_ENV },
      onParentDeath: "KILL",
      removeOnParentDeath: directory,
    });
  } catch (error) {
    // Another test took the port in between.
    const taken = error instanceof NatsServerFailed && error.code === "EADDRINUSE";
    if (!taken || attempts <= 1) throw error;
    return startOnFreePort(path, directory, storeDir, attempts - 1);
  }
}
