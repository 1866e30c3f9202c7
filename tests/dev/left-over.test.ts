import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findNatsServer, startNatsServer } from "@kata/dev";
import { expect, test } from "vitest";
import { acquireLock } from "../../dev/src/lock.ts";
import { describeProcess } from "../../dev/src/process-file.ts";
import { identityOf } from "../../dev/src/process-identity.ts";
import { NATS_CONF } from "../support/nats-process.ts";
import { NATS_SERVER_ENV } from "../support/nats-secrets.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import { gone, natsPid, startKata } from "./start-process.ts";

test("a start that is killed takes its nats-server with it, and the next one starts as if nothing had been", async () => {
  await using directory = await createTempDirectory();
  {
    await using start = await startKata({ dataDirectory: directory.path });
    await start.running;
    const server = (await natsPid(directory.path)) ?? 0;
    start.signal("SIGKILL");
    await start.ended;
    await gone(server);
  }
  await using next = await startKata({ dataDirectory: directory.path });
  await next.running;
  expect(next.stdout()).not.toContain("left over");
});

test("a nats-server that was left on the store is stopped before a new one runs there", async () => {
  await using directory = await createTempDirectory();
  const { path } = await findNatsServer({ env: process.env, report: () => undefined });
  let ended: string | undefined;
  const left = await startNatsServer({
    binary: path,
    configFile: NATS_CONF,
    storeDir: join(directory.path, "nats"),
    env: { ...process.env, ...NATS_SERVER_ENV },
    onCrash: (reason) => {
      ended = reason;
    },
  });
  const pid = left.pid ?? 0;
  await writeFile(join(directory.path, "nats.pid"), await describeProcess(pid));
  await using start = await startKata({ dataDirectory: directory.path });
  await start.running;
  expect(start.stdout()).toContain(`nats-server: stopped process ${pid}, left over from a start that was killed`);
  await expect.poll(() => ended).toBeDefined();
  expect(await natsPid(directory.path)).not.toBe(pid);
});

test("a process that merely has the pid of an old nats-server or an old start is left alone", async () => {
  await using directory = await createTempDirectory();
  await using innocent = startInnocent();
  const text = JSON.stringify({ pid: innocent.pid, identity: "an earlier one" });
  await writeFile(join(directory.path, "nats.pid"), text);
  await writeFile(join(directory.path, "start.lock.7"), text);
  await using start = await startKata({ dataDirectory: directory.path });
  await start.running;
  expect(await identityOf(innocent.pid)).toBeDefined();
});

test("of many that find the same stale lock at once exactly one gets it", async () => {
  await using directory = await createTempDirectory();
  for (let round = 0; round < 20; round++) {
    const path = join(directory.path, `lock-${round}`);
    if (round % 2 === 0) await writeFile(`${path}.3`, JSON.stringify({ pid: 1, identity: "an earlier one" }));
    const locks = await Promise.all(Array.from({ length: 8 }, () => acquireLock(path)));
    expect(locks.filter((lock) => lock.held)).toHaveLength(1);
    expect(await acquireLock(path)).toMatchObject({ held: false, by: { pid: process.pid } });
    const left = (await readdir(directory.path)).filter((name) => name.startsWith(`lock-${round}.`));
    expect(left).toHaveLength(1);
  }
});

function startInnocent(): AsyncDisposable & { readonly pid: number } {
  const child: ChildProcess = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  const ended = once(child, "exit");
  return {
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
