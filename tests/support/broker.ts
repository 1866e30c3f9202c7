import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import {
  type ApiKeyAuth,
  type BrokerConfig,
  type ChannelAccess,
  createBroker,
  createDevelopmentAuth,
  type Logger,
  loadBrokerConfig,
  type SessionStore,
} from "@kata/broker";
import { freePort } from "./free-port.ts";

export const TEST_TEAM = "demo";
export const TEST_KEY = "kat_live_dev_0123456789abcdef";

export interface TestBroker extends AsyncDisposable {
  readonly httpUrl: string;
  readonly wsUrl: string;
  readonly port: number;
  readonly apiKey: string;
  readonly teamId: string;
  close(): Promise<void>;
}

/** A broker in this process. */
export interface InProcessBroker extends TestBroker {
  readonly metricsPort: number | undefined;
  metrics(): Promise<string>;
}

export interface TestBrokerOptions {
  readonly nats: { readonly url: string };
  /** 0, the default, takes a free port. */
  readonly port?: number;
  /** Settings that differ from the defaults. */
  readonly config?: Partial<BrokerConfig>;
  readonly apiKeys?: ApiKeyAuth;
  readonly sessions?: SessionStore;
  readonly access?: ChannelAccess;
  readonly logger?: Logger;
  /** Whether keys and channels are kept in NATS, with TEST_KEY as the first one; default: the adapters given, else the development ones. */
  readonly keptInNats?: boolean;
}

export async function startBroker(options: TestBrokerOptions): Promise<InProcessBroker> {
  const auth = createDevelopmentAuth({ apiKey: TEST_KEY, teamId: TEST_TEAM });
  const config = { ...loadBrokerConfig({}), natsUrl: options.nats.url, port: options.port ?? 0, ...options.config };
  const broker = await createBroker({
    ...(options.keptInNats === true
      ? { config: { ...config, devApiKey: config.devApiKey ?? TEST_KEY } }
      : { config, apiKeys: options.apiKeys ?? auth.apiKeys, access: options.access ?? auth.access }),
    ...(options.sessions === undefined ? {} : { sessions: options.sessions }),
    ...(options.logger === undefined ? {} : { logger: options.logger }),
  });
  return {
    httpUrl: broker.httpUrl,
    wsUrl: broker.wsUrl,
    port: broker.port,
    apiKey: TEST_KEY,
    teamId: TEST_TEAM,
    metricsPort: broker.metricsPort,
    metrics: () => broker.metrics(),
    close: () => broker.close(),
    [Symbol.asyncDispose]: () => broker.close(),
  };
}

export interface BrokerProcess extends TestBroker {
  readonly pid: number;
  /** SIGKILL, awaited. */
  kill(): Promise<void>;
  /** Again, on the same port. */
  start(): Promise<void>;
}

/** A broker in a process of its own, so that it can be killed. */
export async function spawnBroker(options: {
  nats: { readonly url: string };
  env?: Record<string, string>;
  /** Told every line of its log, and of what it says on stderr. */
  onLine?: (line: string) => void;
}): Promise<BrokerProcess> {
  const port = await freePort();
  let child = await launch();

  async function launch(): Promise<ChildProcess> {
    const main = fileURLToPath(new URL("../../broker/src/main.ts", import.meta.url));
    const process_ = spawn(process.execPath, ["--conditions=kata-source", "--import", "tsx", main], {
      env: {
        ...process.env,
        NATS_URL: options.nats.url,
        KATA_PORT: String(port),
        KATA_DEV_API_KEY: TEST_KEY,
        ...options.env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const input of [process_.stdout, process_.stderr]) {
      if (options.onLine !== undefined) createInterface({ input }).on("line", options.onLine);
    }
    await listening(process_);
    return process_;
  }

  async function kill(signal: NodeJS.Signals): Promise<void> {
    const running = child;
    if (running.exitCode !== null || running.signalCode !== null) return;
    const exited = once(running, "exit");
    running.kill(signal);
    await exited;
  }

  return {
    httpUrl: `http://127.0.0.1:${port}`,
    wsUrl: `ws://127.0.0.1:${port}/ws`,
    port,
    apiKey: TEST_KEY,
    teamId: TEST_TEAM,
    get pid() {
      return child.pid ?? 0;
    },
    kill: () => kill("SIGKILL"),
    async start() {
      child = await launch();
    },
    close: () => kill("SIGTERM"),
    [Symbol.asyncDispose]: () => kill("SIGKILL"),
  };
}

/** Waits for the log line that says where it listens. */
function listening(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let out = "";
    let err = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      err += chunk.toString("utf8");
    });
    child.stdout?.on("data", (chunk: Buffer) => {
      if (out.includes("listening on")) return;
      out += chunk.toString("utf8");
      if (out.includes("listening on")) resolve();
    });
    child.once("exit", (code) => reject(new Error(`the broker ended with ${code}: ${err}`)));
  });
}
