import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { startBroker, TEST_KEY } from "../support/broker.ts";
import { freePort } from "../support/free-port.ts";
import { startNats } from "../support/nats.ts";
import { startProxy } from "../support/proxy.ts";
import { createSource } from "./publishing.ts";
import { CHANNEL, eventually, isRunning, kata, kataInShell, processesOf, reading, startRelay } from "./rig.ts";

describe("kata tail and signals", () => {
  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("%s ends it with %i, and nothing is left running", async (signal, code) => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish("hello");
    await using tail = kata(["tail", CHANNEL, "--rewind", "all"], reading(broker));
    await tail.until(({ lines }) => lines.length === 1);
    const processes = processesOf(tail.pid);
    tail.child.kill(signal);
    expect(await tail.ended).toMatchObject({ code, signal: null, stderr: "" });
    expect(processes.filter(isRunning)).toEqual([]);
  });

  it("SIGINT ends it while there is no broker", async () => {
    const port = await freePort();
    await using tail = kata(["tail", CHANNEL], reading({ wsUrl: `ws://127.0.0.1:${port}`, apiKey: TEST_KEY }));
    await tail.until(({ stderr }) => stderr.includes("trying"));
    tail.child.kill("SIGINT");
    expect(await tail.ended).toMatchObject({ code: 130 });
  });

  it("SIGTERM ends it while the broker answers nothing", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using proxy = await startProxy({ port: broker.port });
    await using source = await createSource(nats);
    await source.publish("hello");
    await using tail = kata(
      ["tail", CHANNEL, "--rewind", "all"],
      reading({ ...broker, wsUrl: `ws://127.0.0.1:${proxy.port}` }),
    );
    await tail.until(({ lines }) => lines.length === 1);
    proxy.pause();
    tail.child.kill("SIGTERM");
    expect(await tail.ended).toMatchObject({ code: 143 });
  });

  it.runIf(existsSync("/proc/self/task"))("SIGTERM for npx, which ends only the shell between, ends it", async () => {
    const place = { wsUrl: `ws://127.0.0.1:${await freePort()}`, apiKey: TEST_KEY };
    const env = { ...reading(place), npm_lifecycle_event: "npx" };
    await using shell = kataInShell('"$@"; true', ["tail", CHANNEL], env);
    await shell.until(({ stderr }) => stderr.includes("trying"));
    const processes = processesOf(shell.pid);
    expect(processes).toHaveLength(2);
    shell.child.kill("SIGTERM");
    // Which closes what it held of stdout and stderr, too.
    await shell.ended;
    await eventually(() => processes.filter(isRunning)).toEqual([]);
  });

  it("SIGTERM ends it while nobody reads its output", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using relay = await startRelay(broker.wsUrl);
    await using source = await createSource(nats);
    for (let i = 0; i < 200; i++) await source.publish("x".repeat(50_000));
    await using tail = kata(["tail", CHANNEL, "--rewind", "all"], reading({ ...broker, wsUrl: relay.wsUrl }));
    tail.child.stdout.pause();
    await eventually(() => relay.commands.some(({ type }) => type === "unsubscribe")).toBe(true);
    const exited = new Promise((resolve) => tail.child.once("exit", (code) => resolve(code)));
    tail.child.kill("SIGTERM");
    expect(await exited).toBe(143);
  });
});
