import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { type NatsConnection, PermissionViolationError } from "@nats-io/transport-node";
import { expect, test, vi } from "vitest";
import { identityOf } from "../../dev/src/process-identity.ts";
import { startNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";

// The suite of the interface: it runs over the backend that KATA_TEST_NATS chooses.

async function connectTo(url: string, timeout = 5_000): Promise<NatsConnection> {
  return connectNats(url, { timeout, reconnect: false });
}

async function createStream(nc: NatsConnection): Promise<void> {
  const { streams } = await jetstreamManager(nc);
  await streams.add({
    name: "KATA",
    subjects: ["kata.team.>"],
    storage: StorageType.File,
    republish: { src: "kata.team.>", dest: "live.kata.team.>" },
  });
}

async function count(url: string): Promise<number> {
  const nc = await connectTo(url);
  try {
    const { streams } = await jetstreamManager(nc);
    return (await streams.info("KATA")).state.messages;
  } finally {
    await nc.close();
  }
}

test("after a kill and after a stop it starts again at the same address with the same data", async () => {
  await using nats = await startNats();
  expect(nats.publicUrl).toBe(`nats://127.0.0.1:${nats.port}`);
  const nc = await connectTo(nats.url);
  await createStream(nc);
  await jetstream(nc).publish("kata.team.t1", "one");
  await nats.kill();
  await nc.closed();
  await expect(connectTo(nats.url)).rejects.toThrow();
  await nats.start();
  expect(await count(nats.url)).toBe(1);
  await nats.stop();
  await nats.stop();
  await expect(connectTo(nats.url)).rejects.toThrow();
  await nats.start();
  await nats.start();
  expect(await count(nats.url)).toBe(1);
});

test("while suspended it keeps its connections and answers nobody; it can be ended all the same", async () => {
  await using nats = await startNats();
  const nc = await connectTo(nats.url);
  nats.suspend();
  await expect(connectTo(nats.url, 300)).rejects.toThrow();
  expect(nc.isClosed()).toBe(false);
  nats.resume();
  await nc.flush();
  nats.suspend();
  await nats.stop();
  await nc.closed();
});

test("two servers at once do not share anything", async () => {
  await using one = await startNats();
  await using two = await startNats();
  expect(one.port).not.toBe(two.port);
  const nc = await connectTo(one.url);
  await createStream(nc);
  await nc.close();
  await expect(count(two.url)).rejects.toThrow("stream not found");
});

test("nats.conf: what is stored is republished to live.>, where no client may publish [ORDER-3]", async () => {
  await using nats = await startNats();
  const nc = await connectTo(nats.url);
  await createStream(nc);
  const violation = new Promise<Error>((resolve) => {
    void (async () => {
      for await (const status of nc.status()) if (status.type === "error") resolve(status.error);
    })();
  });
  const seen: string[] = [];
  nc.subscribe("live.>", { callback: (_error, message) => void seen.push(`${message.subject} ${message.string()}`) });
  nc.publish("live.kata.team.t1", "forged");
  expect(await violation).toBeInstanceOf(PermissionViolationError);
  expect(String(await violation)).toContain("live.kata.team.t1");
  await jetstream(nc).publish("kata.team.t1", "stored");
  await vi.waitUntil(() => seen.length > 0);
  expect(seen).toEqual(["live.kata.team.t1 stored"]);
  await nc.close();
});

test("nats.conf: a message may have 1 MB", async () => {
  await using nats = await startNats();
  const nc = await connectTo(nats.url);
  expect(nc.info?.max_payload).toBe(1024 * 1024);
  await nc.close();
});

test.skipIf((process.env.KATA_TEST_NATS ?? "process") !== "process")(
  "a test process that is killed leaves neither its nats-server nor its directory behind",
  async () => {
    const child = spawn(
      process.execPath,
      ["--conditions=kata-source", "--import", "tsx", fileURLToPath(new URL("owner.ts", import.meta.url))],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const [chunk] = await once(child.stdout, "data");
    const { pid, directory } = JSON.parse(String(chunk));
    expect(await identityOf(pid)).toBeDefined();
    expect(existsSync(directory)).toBe(true);
    child.kill("SIGKILL");
    await vi.waitUntil(async () => (await identityOf(pid)) === undefined, { timeout: 10_000 });
    await vi.waitUntil(() => !existsSync(directory), { timeout: 10_000 });
  },
);
