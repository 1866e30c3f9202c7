import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
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
}

/** A broker in this process. */
export async function startBroker(options: TestBrokerOptions): Promise<TestBroker> {
  const auth = createDevelopmentAuth({ apiKey: TEST_KEY, teamId: TEST_TEAM });
  const broker = await createBroker({
    config: { ...loadBrokerConfig({}), natsUrl: options.nats.url, port: options.port ?? 0, ...options.config },
    apiKeys: options.apiKeys ?? auth.apiKeys,
    access: options.access ?? auth.access,
    ...(options.sessions === undefined ? {} : { sessions: options.sessions }),
    ...(options.logger === undefined ? {} : { logger: options.logger }),
  });
  return {
    httpUrl: broker.httpUrl,
    wsUrl: broker.wsUrl,
    port: broker.port,
    apiKey: TEST_KEY,
    teamId: TEST_TEAM,
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
}): Promise<BrokerProcess> {
  let port = 0;
  let child = await launch(port);
  port = child.port;

  async function launch(onPort: number): Promise<{ process: ChildProcess; port: number }> {
    const main = fileURLToPath(new URL("../../broker/src/main.ts", import.meta.url));
    const process_ = spawn(process.execPath, ["--conditions=kata-source", "--import", "tsx", main], {
      env: {
        ...process.env,
        NATS_URL: options.nats.url,
        KATA_PORT: String(onPort),
        KATA_DEV_API_KEY: TEST_KEY,
        ...options.env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    return { process: process_, port: await portOf(process_) };
  }

  async function kill(signal: NodeJS.Signals): Promise<void> {
    const { process: running } = child;
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
      return child.process.pid ?? 0;
    },
    kill: () => kill("SIGKILL"),
    async start() {
      child = await launch(port);
    },
    close: () => kill("SIGTERM"),
    [Symbol.asyncDispose]: () => kill("SIGKILL"),
  };
}

/** Waits for the log line that says where it listens. */
function portOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let out = "";
    let err = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      err += chunk.toString("utf8");
    });
    child.stdout?.on("data", (chunk: Buffer) => {
      if (out === "listening") return;
      out += chunk.toString("utf8");
      const match = /"port":(\d+)[^\n]*listening on/.exec(out);
      if (match === null) return;
      out = "listening";
      resolve(Number(match[1]));
    });
    child.once("exit", (code) => reject(new Error(`the broker ended with ${code}: ${err}`)));
  });
}
