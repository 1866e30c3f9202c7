import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createWatchdog } from "../../dev/src/nats/watchdog.ts";
import { identityOf } from "../../dev/src/process-identity.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export interface Start extends AsyncDisposable {
  readonly pid: number;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Resolves once it says that it runs; rejects if it ends before. */
  readonly running: Promise<void>;
  /** Resolves with the exit code once it has ended and said all. */
  readonly ended: Promise<number | null>;
  /** Resolves once stdout holds this. */
  said(text: string): Promise<void>;
  signal(signal: NodeJS.Signals): void;
}

/** What the start left in its data directory. */
export interface DevFile {
  readonly httpUrl: string;
  readonly wsUrl: string;
  readonly natsUrl: string;
  readonly teamId: string;
  readonly apiKey: string;
}

export interface StartOptions {
  readonly dataDirectory: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Through npm, as people do it (default), or the script's command alone, whose pid and exit code are then seen. */
  readonly npm?: boolean;
}

/** Runs the real `npm start` on ports of its own. At dispose it is gone, its nats-server too. */
export async function startKata({ dataDirectory, env, npm = false }: StartOptions): Promise<Start> {
  const [program = "", ...args] = npm ? ["npm", "start"] : await startCommand();
  const watchdog = createWatchdog({ signal: "KILL" });
  const child = spawn(program, args, {
    cwd: ROOT,
    // A group of its own, so that dispose ends npm, its shell and the start itself.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      npm_lifecycle_event: undefined,
      NATS_URL: undefined,
      KATA_DATA_DIR: dataDirectory,
      KATA_PORT: "0",
      KATA_NATS_PORT: "0",
      ...env,
    },
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} does not run`);
  // A test that times out is not disposed. -pid: the group, as kill(1) takes it.
  watchdog.watch(-pid);
  const text = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => {
    text.stdout += chunk.toString("utf8");
  });
  child.stderr.on("data", (chunk: Buffer) => {
    text.stderr += chunk.toString("utf8");
  });
  const ended = once(child, "close").then(() => {
    watchdog.release();
    return child.exitCode;
  });

  const said = (wanted: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (!text.stdout.includes(wanted)) return;
        child.stdout.off("data", look);
        resolve();
      };
      child.stdout.on("data", look);
      look();
      void ended.then(() => reject(new Error(`ended before it said "${wanted}": ${text.stdout}${text.stderr}`)));
    });
  const running = said("Ctrl-C stops everything");
  // Tests of starts that fail do not await it.
  running.catch(() => undefined);

  return {
    pid,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    running,
    ended,
    said,
    signal: (signal) => void child.kill(signal),
    async [Symbol.asyncDispose]() {
      const server = await natsPid(dataDirectory);
      if (child.exitCode === null && child.signalCode === null) process.kill(-pid, "SIGKILL");
      await ended;
      if (server !== undefined) await gone(server);
    },
  };
}

export async function readDevFile(dataDirectory: string): Promise<DevFile> {
  return JSON.parse(await readFile(join(dataDirectory, "dev.json"), "utf8"));
}

/** The nats-server that a running start has written down. */
export async function natsPid(dataDirectory: string): Promise<number | undefined> {
  const text = await readFile(join(dataDirectory, "nats.pid"), "utf8").catch(() => undefined);
  return text === undefined ? undefined : JSON.parse(text).pid;
}

/** Resolves when the process, which need be no child of ours, has ended. */
export async function gone(pid: number): Promise<void> {
  const identity = await identityOf(pid);
  while (identity !== undefined && (await identityOf(pid)) === identity) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function startCommand(): Promise<string[]> {
  const { scripts } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  return String(scripts.start).split(" ");
}
