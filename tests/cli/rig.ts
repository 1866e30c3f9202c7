import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseChannel } from "@kata/protocol";
import { subjectOf } from "@kata/protocol/wire";
import { expect } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { readLog } from "../support/stream.ts";

export const BIN = fileURLToPath(new URL("../../broker/bin/kata.js", import.meta.url));
export const CHANNEL = "agent:build";
/** The team of the test brokers. Said here again, because most of these tests need no broker in their own process. */
export const TEAM = "demo";

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `kata …` as a process. Disposing kills it. */
export interface Kata extends AsyncDisposable {
  readonly child: ChildProcessWithoutNullStreams;
  readonly pid: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The complete lines of stdout so far. */
  readonly lines: string[];
  /** The envelopes of `--json` so far. */
  readonly envelopes: Envelope[];
  readonly ended: Promise<Ended>;
  /** Resolves when `found`, which is asked after all output, says so; rejects if the process ends before. */
  until(found: (kata: Kata) => boolean): Promise<void>;
}

export interface Envelope {
  readonly type: string;
  readonly channel: string;
  readonly timestamp: string;
  readonly eventId: string;
  readonly encoding: string;
  readonly payload: { readonly message: string };
}

type Env = Readonly<Record<string, string>>;

export function kata(args: readonly string[], env: Env = {}): Kata {
  return follow(spawn(process.execPath, [BIN, ...args], { env: cleanEnv(env) }));
}

/** The same in a shell: `"$@"` is the command. */
export function kataInShell(script: string, args: readonly string[], env: Env = {}): Kata {
  return follow(spawn("sh", ["-c", script, "sh", process.execPath, BIN, ...args], { env: cleanEnv(env) }));
}

export function reading({ wsUrl, apiKey }: { readonly wsUrl: string; readonly apiKey: string }): Env {
  return { KATA_URL: wsUrl, KATA_API_KEY: apiKey };
}

export function publishing(nats: { readonly url: string }): Env {
  return { NATS_URL: nats.url, KATA_TEAM: TEAM };
}

/** Nothing of the machine's own settings: no development broker, no colours wished for or against. */
function cleanEnv(env: Env): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(KATA_|NATS_|NODE_|npm_|NO_COLOR|FORCE_COLOR|TERM)/.test(name),
  );
  return { ...Object.fromEntries(own), KATA_DATA_DIR: join(tmpdir(), "kata-no-such-directory"), TERM: "xterm", ...env };
}

function follow(child: ChildProcessWithoutNullStreams): Kata {
  const output = { stdout: "", stderr: "" };
  const lines: string[] = [];
  let rest = "";
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const look of [...waiting]) look();
  };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8");
    child[name].on("data", (text: string) => {
      output[name] += text;
      if (name === "stdout") {
        const parts = (rest + text).split("\n");
        rest = parts.pop() ?? "";
        lines.push(...parts);
      }
      wake();
    });
  }
  // A child that has ended does not read what is still written to it.
  child.stdin.on("error", () => undefined);
  let ended: Ended | undefined;
  const end = once(child, "close").then(([code, signal]): Ended => {
    ended = { code, signal, ...output };
    wake();
    return ended;
  });
  const self: Kata = {
    child,
    get pid() {
      return child.pid ?? 0;
    },
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    lines,
    get envelopes() {
      return lines.map((line) => JSON.parse(line) as Envelope);
    },
    ended: end,
    until: (found) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (found(self)) resolve();
          else if (ended !== undefined) reject(new Error(`kata ended with ${ended.code}: ${ended.stderr}`));
          else return;
          waiting.delete(look);
        };
        waiting.add(look);
        look();
      }),
    async [Symbol.asyncDispose]() {
      await kill(child);
    },
  };
  return self;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

/** A process and everything it has started; only the process itself where there is no /proc. */
export function processesOf(pid: number): number[] {
  const file = `/proc/${pid}/task/${pid}/children`;
  const children = existsSync(file) ? readFileSync(file, "utf8").trim().split(" ").filter(Boolean).map(Number) : [];
  return [pid, ...children.flatMap(processesOf)];
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The messages in the log, in order. */
export async function messagesOf(nats: { readonly url: string }, channel = CHANNEL): Promise<string[]> {
  return (await eventsInLog(nats, channel)).map(({ payload }) => (payload as { message: string }).message);
}

export async function eventsInLog(
  nats: { readonly url: string },
  channel = CHANNEL,
): Promise<{ type: string; payload: unknown }[]> {
  const parsed = parseChannel(channel);
  if (parsed === undefined) throw new Error(`${channel} is no channel`);
  const records = await readLog(nats.url, subjectOf(parsed, TEAM));
  return records.flatMap(({ lines }) => lines.map((line) => JSON.parse(line) as { type: string; payload: unknown }));
}

/** Awaits what only asking can tell, such as what the log holds. */
export function eventually<T>(ask: () => T) {
  return expect.poll(ask, { interval: 10, timeout: 20_000 });
}

/** A directory that goes with the test. */
export async function tempDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "kata-cli-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Stands between a client and a broker, and notes the commands that pass. */
export async function startRelay(
  wsUrl: string,
): Promise<AsyncDisposable & { readonly wsUrl: string; readonly commands: { type: string; lastEventId?: string }[] }> {
  const commands: { type: string; lastEventId?: string }[] = [];
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    handleProtocols: (offered) => [...offered].find((name) => name.startsWith("kata.")) ?? false,
  });
  const sockets = new Set<WebSocket>();
  server.on("connection", (client, request) => {
    const offered = (request.headers["sec-websocket-protocol"] ?? "").split(/, */);
    const upstream = new WebSocket(wsUrl, offered);
    const opened = once(upstream, "open");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
    }
    client.on("message", async (data) => {
      const text = (data as Buffer).toString("utf8");
      commands.push(JSON.parse(text));
      await opened;
      upstream.send(text);
    });
    upstream.on("message", (data) => client.send((data as Buffer).toString("utf8")));
    client.on("close", () => upstream.terminate());
    upstream.on("close", () => client.terminate());
  });
  await once(server, "listening");
  return {
    wsUrl: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`,
    commands,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.terminate();
      server.close();
      await once(server, "close");
    },
  };
}
