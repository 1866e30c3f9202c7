import { type ChildProcess, spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { createStartup, type Startup } from "./startup.ts";
import { waitUntilStopped } from "./stopped.ts";
import { createWatchdog } from "./watchdog.ts";

export interface NatsServerOptions {
  /** The program, as findNatsServer found it. */
  readonly binary: string;
  /** The repository's nats.conf, or another that reads `$KATA_NATS_STORE_DIR`. */
  readonly configFile: string;
  /** Where the log is kept; made if it is not there. */
  readonly storeDir: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** 0 (default): one that is free; later starts keep it. */
  readonly port?: number;
  readonly env?: NodeJS.ProcessEnv;
  /** What the server gets if this process dies: TERM (default), or KILL. */
  readonly onParentDeath?: "TERM" | "KILL";
  /** Removed if this process dies, after the server. */
  readonly removeOnParentDeath?: string;
  /** Told every line that the server logs. */
  readonly onLogLine?: (line: string) => void;
  /** Told when the server has ended though nobody asked it to. */
  readonly onCrash?: (reason: string) => void;
}

/** A nats-server that we run. All promises resolve when what they name has happened, not when it was asked for. */
export interface NatsServer {
  /** nats://host:port; the port is known once it has started. */
  readonly url: string;
  readonly port: number;
  /** Undefined while it does not run. */
  readonly pid: number | undefined;
  /**
   * Runs it, and resolves once it answers, JetStream included; again: on the same port and store. Rejects with a
   * NatsServerFailed if it dies before.
   */
  start(): Promise<void>;
  /** Asks it to end (SIGTERM); SIGKILL if it has not after 10 s. */
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGSTOP: it keeps its connections and answers nobody, from the return on. */
  suspend(): void;
  resume(): void;
}

const STOP_TIMEOUT_MS = 10_000;

/** Starts nats-server and resolves once it answers. */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const server = createNatsServer(options);
  await server.start();
  return server;
}

/** A nats-server that does not run yet. */
export function createNatsServer(options: NatsServerOptions): NatsServer {
  const host = options.host ?? "127.0.0.1";
  let port = options.port ?? 0;
  let running: { child: ChildProcess; pid: number; ended: Promise<void> } | undefined;
  let expected = false;

  const start = async (): Promise<void> => {
    if (running !== undefined) return;
    expected = false;
    await mkdir(options.storeDir, { recursive: true });
    const startup = createStartup();
    const { child, pid, ended } = launch(options, host, port, startup);
    running = { child, pid, ended };
    void ended.then(() => {
      running = undefined;
      const reason = endOf(child);
      if (!startup.died(reason) && !expected) options.onCrash?.(reason);
    });
    port = await startup.ready;
  };

  const end = async (signal: "SIGTERM" | "SIGKILL"): Promise<void> => {
    if (running === undefined) return;
    const { child, ended } = running;
    expected = true;
    child.kill(signal);
    // A suspended process takes no SIGTERM before it goes on.
    child.kill("SIGCONT");
    const force = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(force);
  };

  return {
    get url() {
      return `nats://${host.includes(":") ? `[${host}]` : host}:${port}`;
    },
    get port() {
      return port;
    },
    get pid() {
      return running?.pid;
    },
    start,
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
    suspend() {
      if (running?.child.kill("SIGSTOP")) waitUntilStopped(running.pid);
    },
    resume: () => void running?.child.kill("SIGCONT"),
  };
}

function launch(options: NatsServerOptions, host: string, port: number, startup: Startup) {
  const watchdog = createWatchdog({
    signal: options.onParentDeath ?? "TERM",
    removeDirectory: options.removeOnParentDeath,
  });
  const args = ["-c", options.configFile, "-a", host, "-p", String(port === 0 ? -1 : port)];
  const child = spawn(options.binary, args, {
    stdio: ["ignore", "ignore", "pipe"],
    // nats.conf reads the value by its own grammar: quoted, any path is a string.
    env: { ...(options.env ?? process.env), KATA_NATS_STORE_DIR: JSON.stringify(options.storeDir) },
    // A session of its own: Ctrl-C in the terminal reaches us, and we stop it when the broker is done with it.
    detached: true,
  });
  const pid = child.pid ?? 0;
  if (child.pid !== undefined) watchdog.watch(child.pid);
  const lines = createInterface({ input: child.stderr });
  lines.on("line", (line) => {
    startup.line(line);
    options.onLogLine?.(line);
  });
  const ended = new Promise<void>((resolve) => {
    child.once("error", (error) => {
      startup.died(error.message);
      resolve();
    });
    // "close" and not "exit": by then its last log lines, which say why, have been read.
    child.once("close", () => resolve());
  }).finally(() => watchdog.release());
  return { child, pid, ended };
}

function endOf(child: ChildProcess): string {
  return child.signalCode === null ? `ended with code ${child.exitCode}` : `ended by ${child.signalCode}`;
}
