import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findNatsServer } from "@kata/dev";
import { connect } from "@nats-io/transport-node";
import { expect } from "vitest";
import { freePort } from "../support/free-port.ts";

/** How many lines nats-server writes for a message with one subscriber: PUB, MSG, and the payload with each. */
const LINES_A_MESSAGE = 4;
/** One message in so many is {@link awkwardTexts}'. */
const AWKWARD_EVERY = 1_500;
/** Between two of these many messages it is waited until the server has taken them. */
const BURST = 500;

/** A nats-server that logs every message it sees to a file, and rotates that by size: a real program with a real log. */
export interface TalkativeNats extends AsyncDisposable {
  /** The file that is written to now. Those it was renamed to are beside it. */
  readonly logFile: string;
  /** Makes it write so many lines or a few more, some of them not ASCII, some very long. */
  talk(lines: number): Promise<void>;
  /** SIGTERM; resolves when it has written its last line. */
  stop(): Promise<void>;
}

export async function startTalkativeNats(directory: string, rotateBytes: number): Promise<TalkativeNats> {
  const { path } = await findNatsServer({ env: process.env, report: () => undefined });
  const port = await freePort();
  const logFile = join(directory, "nats.log");
  const config = join(directory, "talkative.conf");
  await writeFile(
    config,
    `listen: "127.0.0.1:${port}"\nlog_file: "${logFile}"\ndebug: true\ntrace: true\nlogfile_size_limit: ${rotateBytes}\n`,
  );
  const child = spawn(path, ["-c", config], { stdio: "ignore" });
  const exited = once(child, "exit");
  await expect
    .poll(() => readFile(logFile, "utf8").catch(() => ""), { interval: 10, timeout: 20_000 })
    .toContain("Server is ready");
  const stop = async () => {
    child.kill("SIGTERM");
    await exited;
  };
  return {
    logFile,
    async talk(lines) {
      const texts = await textsToSay();
      const awkward = awkwardTexts();
      const nc = await connect({ servers: `127.0.0.1:${port}` });
      nc.subscribe("said", { callback: () => undefined });
      for (let i = 0; i < lines / LINES_A_MESSAGE; i++) {
        const special = i % AWKWARD_EVERY === 0 ? awkward[(i / AWKWARD_EVERY) % awkward.length] : undefined;
        nc.publish("said", special ?? (texts[i % texts.length] as string));
        if (i % BURST === 0) await nc.flush();
      }
      await nc.drain();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Every byte of the log, the rotated files first, one file at a time. */
export async function* bytesWritten(logFile: string): AsyncGenerator<Buffer> {
  const directory = dirname(logFile);
  // Behind the name stands the time of the rotation, so that the order of the names is theirs.
  const rotated = (await readdir(directory)).filter((name) => name.startsWith(`${basename(logFile)}.`)).sort();
  for (const name of [...rotated, basename(logFile)]) yield await readFile(join(directory, name));
}

export async function rotationsOf(logFile: string): Promise<number> {
  return (await readdir(dirname(logFile))).filter((name) => name.startsWith(`${basename(logFile)}.`)).length;
}

/** Lines of this project's own texts. */
async function textsToSay(): Promise<string[]> {
  const text = await readFile(fileURLToPath(new URL("../../protocol/PROTOCOL.md", import.meta.url)), "utf8");
  // Of an empty one it says less.
  return [
    ...text.split("\n").filter((line) => line !== ""),
    "größer als 100 %, Ελληνικά, עברית, 日本語のログ, 🐟🧵👩‍👩‍👧",
  ];
}

function awkwardTexts(): string[] {
  return [
    "\u0000\u0007\u001b[31mred\u001b[0m\u2028\u2029\ufeff\r",
    "long ".repeat(20_000),
    `${"🐟".repeat(200_000)} longer than an event`,
  ];
}
