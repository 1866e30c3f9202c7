import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createNatsSecrets, natsBrokerEnv, natsServerEnv } from "@kata/broker";
import { findNatsServer, startNatsServer } from "@kata/dev";

/** A nats-server and a broker of the bench's own, each a process, on free ports, with a new store. */
export interface Servers extends AsyncDisposable {
  /** For publishers, who present the API key. */
  readonly natsUrl: string;
  /** With the broker's user. */
  readonly brokerNatsUrl: string;
  /** The broker's process. */
  readonly pid: number;
  readonly port: number;
  readonly wsUrl: string;
  readonly apiKey: string;
}

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** @param settings environment variables of the broker */
export async function startServers(settings: Readonly<Record<string, string>> = {}): Promise<Servers> {
  const { path } = await findNatsServer({ env: process.env, report: (line) => process.stderr.write(`${line}\n`) });
  const directory = await mkdtemp(join(tmpdir(), "kata-bench-"));
  const secrets = createNatsSecrets();
  const nats = await startNatsServer({
    binary: path,
    configFile: here("../../nats.conf"),
    storeDir: join(directory, "store"),
    env: { ...process.env, ...natsServerEnv(secrets) },
    onParentDeath: "KILL",
    removeOnParentDeath: directory,
  });
  const brokerNatsUrl = nats.url.replace("//", `//broker:${secrets.brokerPassword}@`);
  const apiKey = `kat_live_dev_${randomBytes(12).toString("hex")}`;
  const broker = spawn(
    process.execPath,
    ["--conditions=kata-source", ...profiling(), "--import", "tsx", here("../../broker/src/main.ts")],
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
    pid: broker.pid ?? 0,
    port,
    wsUrl: `ws://127.0.0.1:${port}/ws`,
    apiKey,
    async [Symbol.asyncDispose]() {
      const exited = once(broker, "exit");
      if (broker.kill("SIGTERM")) await exited;
      await nats.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** `KATA_BENCH_CPU_PROF=<directory>`: the broker writes a CPU profile there when it ends, for `node --cpu-prof`'s viewers. */
function profiling(): string[] {
  const directory = process.env.KATA_BENCH_CPU_PROF;
  return directory === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${directory}`];
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
