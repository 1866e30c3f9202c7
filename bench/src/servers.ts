import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createNatsSecrets, natsBrokerEnv, natsServerEnv } from "@kata/broker";
import { findNatsServer, startNatsServer } from "@kata/dev";
import { profiling } from "./profiling.ts";

/** A nats-server and a broker of the bench's own, each a process, on free ports, with a new store. */
export interface Servers extends AsyncDisposable {
  /** For publishers, who present the API key. */
  readonly natsUrl: string;
  /** With the broker's user. */
  readonly brokerNatsUrl: string;
  /** nats-server's process. */
  readonly natsPid: number;
  /** The broker's process. */
  readonly pid: number;
  readonly port: number;
  readonly wsUrl: string;
  readonly httpUrl: string;
  readonly apiKey: string;
}

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const NATS_CONF = here("../../nats.conf");

/** When nats-server flushes the log to the disk: as nats.conf has it, or before it acknowledges a record. */
export type Sync = "default" | "always";

/** @param settings environment variables of the broker */
export async function startServers(
  settings: Readonly<Record<string, string>> = {},
  sync: Sync = "default",
): Promise<Servers> {
  const { path } = await findNatsServer({ env: process.env, report: (line) => process.stderr.write(`${line}\n`) });
  const directory = await mkdtemp(join(tmpdir(), "kata-bench-"));
  const secrets = createNatsSecrets();
  const nats = await startNatsServer({
    binary: path,
    configFile: sync === "default" ? NATS_CONF : await confWithSyncAlways(directory),
    storeDir: join(directory, "store"),
    env: { ...process.env, ...natsServerEnv(secrets) },
    onParentDeath: "KILL",
    removeOnParentDeath: directory,
  });
  const brokerNatsUrl = nats.url.replace("//", `//broker:${secrets.brokerPassword}@`);
  const apiKey = `kat_live_dev_${randomBytes(12).toString("hex")}`;
  const broker = spawn(
    process.execPath,
    ["--conditions=kata-source", ...profiling("broker"), "--import", "tsx", here("../../broker/src/main.ts")],
    {
      env: {
        ...process.env,
        ...natsBrokerEnv(secrets),
        NATS_URL: brokerNatsUrl,
        KATA_PORT: "0",
        KATA_DEV_API_KEY: apiKey,
        KATA_DEV_TEAM: "demo",
        ...settings,
      },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const port = await listeningPort(broker);
  return {
    natsUrl: nats.url,
    brokerNatsUrl,
    natsPid: nats.pid ?? 0,
    pid: broker.pid ?? 0,
    port,
    wsUrl: `ws://127.0.0.1:${port}/ws`,
    httpUrl: `http://127.0.0.1:${port}`,
    apiKey,
    async [Symbol.asyncDispose]() {
      const exited = once(broker, "exit");
      if (broker.kill("SIGTERM")) await exited;
      await nats.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The repository's nats.conf with its `sync_interval` line put in force. */
async function confWithSyncAlways(directory: string): Promise<string> {
  const conf = await readFile(NATS_CONF, "utf8");
  const changed = conf.replace("# sync_interval: 2m", "sync_interval: always");
  if (changed === conf) throw new Error("nats.conf has no line `# sync_interval: 2m` to change");
  const path = join(directory, "nats.conf");
  await writeFile(path, changed);
  return path;
}

async function listeningPort(broker: ChildProcess): Promise<number> {
  if (broker.stdout === null) throw new Error("the broker's output is not piped");
  for await (const line of createInterface({ input: broker.stdout })) {
    const { port } = JSON.parse(line) as { port?: number };
    if (port === undefined) continue;
    broker.stdout.resume();
    return port;
  }
  throw new Error("the broker ended before it listened");
}
