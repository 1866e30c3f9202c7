import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findNatsServer, startNatsServer } from "@kata/dev";
import { createPublisher } from "@kata/publisher";
import { expect, test, vi } from "vitest";
import { startBroker } from "../support/broker.ts";
import { freePort } from "../support/free-port.ts";
import { startNats } from "../support/nats.ts";
import { CALLOUT } from "../support/nats-secrets.ts";
import { connectRaw } from "../support/raw-client.ts";
import { readLog } from "../support/stream.ts";
import { createNatsRig } from "./rig.ts";

const event = (message: string, idempotencyKey?: string) => ({
  type: "log_entry",
  payload: { message },
  ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
});

test("createPublisher({servers, apiKey}) knows its team: what it publishes is read by a subscriber", async () => {
  await using nats = await startNats();
  await using broker = await startBroker({ nats, config: CALLOUT });
  await using client = await connectRaw(broker);
  client.send({ type: "subscribe", channel: "agent:a1" });
  await client.nextOf("subscribed");
  await using publisher = await createPublisher({ servers: nats.publicUrl, apiKey: broker.apiKey });
  const { eventId } = await publisher.publish("agent:a1", event("hello"));
  const [seen] = await client.events("agent:a1", 1);
  expect(seen).toMatchObject({ eventId, payload: { message: "hello" } });
});

test("[NATS-5] the same idempotency key over HTTP and over NATS is one event", async () => {
  await using nats = await startNats();
  await using broker = await startBroker({ nats, config: CALLOUT });
  await using other = await startBroker({ nats, config: CALLOUT });
  await using publisher = await createPublisher({ servers: nats.publicUrl, apiKey: broker.apiKey });
  const post = async (at: { httpUrl: string; apiKey: string }, body: object) => {
    const answer = await fetch(`${at.httpUrl}/v1/channels/agent:a1/events`, {
      method: "POST",
      headers: { "x-api-key": at.apiKey },
      body: JSON.stringify(body),
    });
    return ((await answer.json()) as { eventIds: string[] }).eventIds[0];
  };
  const first = await post(broker, event("over HTTP", "k1"));
  expect(await publisher.publish("agent:a1", event("over NATS", "k1"))).toEqual({ eventId: first, duplicate: true });
  const second = await publisher.publish("agent:a1", event("over NATS", "k2"));
  expect(second.duplicate).toBe(false);
  // Another broker has the same secret, and so has one that comes later.
  expect(await post(other, event("over HTTP", "k2"))).toBe(second.eventId);
  await using later = await startBroker({ nats, config: CALLOUT });
  expect(await post(later, event("over HTTP", "k2"))).toBe(second.eventId);
  expect((await readLog(nats.url)).flatMap(({ eventIds }) => eventIds)).toEqual([first, second.eventId]);
});

test("what may not be published is forbidden, what is no key unauthenticated: one line each, without the key", async () => {
  await using rig = await createNatsRig();
  const servers = rig.nats.publicUrl;
  const limited = rig.keys.add("t1", { channels: ["spec:s1"] });
  await using publisher = await createPublisher({ servers, apiKey: limited });
  expect(await publisher.publish("spec:s1", event("mine"))).toMatchObject({ duplicate: false });
  await expect(publisher.publish("spec:s2", event("not mine"))).rejects.toMatchObject({
    code: "forbidden",
    stored: "no",
    message: "NATS refuses this publisher kata.team.t1.spec.s2",
  });
  await expect(publisher.publish("team:t2", event("not mine"))).rejects.toMatchObject({ code: "forbidden" });
  await expect(createPublisher({ servers, apiKey: limited, teamId: "t2" })).rejects.toMatchObject({
    code: "forbidden",
    message: "the API key is of team t1, not of t2",
  });
  const wrong = createPublisher({ servers, apiKey: "kat_live_wrong" });
  await expect(wrong).rejects.toMatchObject({ code: "unauthenticated", retryable: false });
  await expect(wrong).rejects.toThrow(`NATS at ${servers} refused the credentials`);
  expect((await readLog(rig.inside)).map(({ subject }) => subject)).toEqual(["kata.team.t1.spec.s1"]);
  // A publisher that was refused a subject goes on with the others.
  expect(await publisher.publish("spec:s1", event("mine"))).toMatchObject({ duplicate: false });
});

test("a key that is revoked: what is published then waits, is given up with the reason, and is not stored", async () => {
  await using rig = await createNatsRig();
  const apiKey = rig.keys.add("t1", { keyId: "k" });
  const publisher = await createPublisher({ servers: rig.nats.publicUrl, apiKey, publishTimeoutMs: 1_000 });
  await publisher.publish("agent:a1", event("before"));
  rig.keys.remove(apiKey);
  rig.keys.tell({ type: "api_key", keyId: "k" });
  // Until then nats-server goes on acknowledging.
  await vi.waitFor(
    async () => {
      await expect(publisher.publish("agent:a1", event("after"))).rejects.toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("NATS refuses the credentials, or no broker is there to vouch for them"),
      });
    },
    { timeout: 15_000 },
  );
  const stored = (await readLog(rig.inside)).length;
  await publisher.close();
  expect((await readLog(rig.inside)).length).toBe(stored);
});

test("a broker that goes and comes back, and NATS with it: a publisher goes on by itself, each event once and in order", async () => {
  await using nats = await startNats();
  const broker = await startBroker({ nats, config: CALLOUT });
  await using publisher = await createPublisher({ servers: nats.publicUrl, apiKey: broker.apiKey });
  const first = await publisher.publish("agent:a1", event("0"));
  await broker.close();
  await nats.kill();
  const waiting = [1, 2, 3].map((i) => publisher.publish("agent:a1", event(`${i}`)));
  await nats.start();
  await using _again = await startBroker({ nats, config: CALLOUT });
  const results = await Promise.all(waiting);
  const log = await readLog(nats.url);
  expect(log.flatMap(({ lines }) => lines.map((line) => JSON.parse(line).payload.message))).toEqual([
    "0",
    "1",
    "2",
    "3",
  ]);
  expect(log.flatMap(({ eventIds }) => eventIds)).toEqual([first, ...results].map(({ eventId }) => eventId));
});

test("a NATS that lets anybody in: a key is no hindrance there, but does not say the team", async () => {
  const directory = await mkdtemp(join(tmpdir(), "kata-open-"));
  const configFile = join(directory, "nats.conf");
  await writeFile(configFile, "jetstream { store_dir: $KATA_NATS_STORE_DIR }\n");
  const { path } = await findNatsServer({ env: process.env, report: () => undefined });
  const storeDir = join(directory, "store");
  const port = await freePort();
  const nats = await startNatsServer({ binary: path, configFile, storeDir, port, onParentDeath: "KILL" });
  try {
    await using broker = await startBroker({ nats });
    const { apiKey, teamId } = broker;
    await using publisher = await createPublisher({ servers: nats.url, apiKey, teamId });
    expect(await publisher.publish("agent:a1", event("open"))).toMatchObject({ duplicate: false });
    await expect(createPublisher({ servers: nats.url, apiKey })).rejects.toMatchObject({
      code: "forbidden",
      message: "NATS has let this publisher in without a word of its team: give teamId",
    });
  } finally {
    await nats.kill();
    await rm(directory, { recursive: true, force: true });
  }
});
