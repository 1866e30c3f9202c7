import { once } from "node:events";
import { readFile, stat } from "node:fs/promises";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { startNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { connectRaw } from "../support/raw-client.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import { startReleaseServer } from "./release-server.ts";
import { gone, natsPid, readDevFile, startKata } from "./start-process.ts";

test("a first start says where everything is, its log is events at once, and the second start finds it all again", async () => {
  await using directory = await createTempDirectory();
  const dataDirectory = join(directory.path, "data");
  let apiKey: string;
  let eventIds: string[];
  let server: number;
  let secrets: string;
  {
    await using start = await startKata({ dataDirectory, npm: true });
    await start.running;
    const dev = await readDevFile(dataDirectory);
    for (const file of ["dev.json", "nats-secrets.json"]) {
      expect((await stat(join(dataDirectory, file))).mode & 0o777).toBe(0o600);
    }
    secrets = await readFile(join(dataDirectory, "nats-secrets.json"), "utf8");
    expect(dev).toEqual({
      httpUrl: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      wsUrl: expect.stringMatching(/^ws:\/\/127\.0\.0\.1:\d+\/ws$/),
      natsUrl: expect.stringMatching(/^nats:\/\/127\.0\.0\.1:\d+$/),
      teamId: "demo",
      apiKey: expect.stringMatching(/^kat_live_dev_[0-9a-f]{40}$/),
    });
    apiKey = dev.apiKey;
    for (const said of [dev.httpUrl, dev.wsUrl, dev.natsUrl, apiKey, "npx kata tail agent:broker"]) {
      expect(start.stdout()).toContain(said);
    }
    expect(start.stderr()).not.toContain("kata:");

    await using client = await connectRaw({ wsUrl: dev.wsUrl, apiKey });
    client.send({ type: "subscribe", channel: "agent:broker", rewind: "all" });
    const fromNats = await client.next((each) => JSON.stringify(each.payload).includes("Server is ready"));
    expect(fromNats).toMatchObject({ type: "log_entry", payload: { level: "info", source: "nats-server" } });
    const fromBroker = await client.next((each) => JSON.stringify(each.payload).includes("listening on"));
    expect(fromBroker).toMatchObject({ type: "log_entry", payload: { level: "info", source: "broker" } });

    // The curl line that it prints, with another's hands.
    const posted = await fetch(`${dev.httpUrl}/v1/channels/agent:build/events`, {
      method: "POST",
      headers: { "x-api-key": apiKey },
      body: JSON.stringify({ type: "log_entry", payload: { message: "hello" } }),
    });
    expect(posted.status).toBe(201);
    ({ eventIds } = (await posted.json()) as { eventIds: string[] });

    server = (await natsPid(dataDirectory)) ?? 0;
    start.signal("SIGTERM");
    await start.ended;
    await gone(server);
    // npm's shell takes the signal and dies; the start itself sees that, and ends after it.
    await expect.poll(() => natsPid(dataDirectory), { timeout: 10_000 }).toBeUndefined();
  }
  const before = performance.now();
  await using start = await startKata({ dataDirectory });
  await start.running;
  expect(performance.now() - before).toBeLessThan(5_000);
  const dev = await readDevFile(dataDirectory);
  expect(dev.apiKey).toBe(apiKey);
  expect(await readFile(join(dataDirectory, "nats-secrets.json"), "utf8")).toBe(secrets);
  await using client = await connectRaw({ wsUrl: dev.wsUrl, apiKey });
  client.send({ type: "subscribe", channel: "agent:build", rewind: "all" });
  const [event] = await client.events("agent:build", 1);
  expect(event?.eventId).toBe(eventIds[0]);
  // The last words of the first start came after its first ones, and before this one's.
  client.send({ type: "subscribe", channel: "agent:broker", rewind: "all" });
  for (const words of ["Server is ready", "listening on", "stopping", "Server is ready", "listening on"]) {
    await client.next((each) => JSON.stringify(each.payload).includes(words));
  }
});

test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("%s ends all that it started", async (signal) => {
  await using directory = await createTempDirectory();
  const dataDirectory = directory.path;
  await using start = await startKata({ dataDirectory });
  await start.running;
  const server = (await natsPid(dataDirectory)) ?? 0;
  start.signal(signal);
  expect(await start.ended).toBe(0);
  expect(start.stderr()).toBe("");
  // Its children have ended before it did.
  expect(() => process.kill(server, 0)).toThrow("ESRCH");
  expect(await natsPid(dataDirectory)).toBeUndefined();
});

test("Ctrl-C while nats-server is still being fetched ends it at once", async () => {
  await using directory = await createTempDirectory();
  await using release = await startReleaseServer(directory.path, "silent");
  await using start = await startKata({
    dataDirectory: join(directory.path, "data"),
    env: {
      PATH: dirname(process.execPath),
      NATS_SERVER_BIN: undefined,
      KATA_CACHE_DIR: join(directory.path, "cache"),
      KATA_NATS_RELEASE_URL: release.url,
    },
  });
  await start.said("fetching a release");
  start.signal("SIGINT");
  expect(await start.ended).toBe(0);
  expect(start.stderr()).toBe("");
});

test("a second Ctrl-C does not wait for what does not end", async () => {
  await using directory = await createTempDirectory();
  await using nats = await startNats();
  await using start = await startKata({ dataDirectory: directory.path, env: { NATS_URL: nats.url } });
  await start.running;
  const { httpUrl, apiKey } = await readDevFile(directory.path);
  nats.suspend();
  // An event that is on its way to the log: a broker that is asked politely waits for it.
  const post = request(`${httpUrl}/v1/channels/agent:build/events`, {
    method: "POST",
    headers: { "x-api-key": apiKey },
  });
  post.on("error", () => undefined);
  post.end(JSON.stringify({ type: "log_entry", payload: { message: "hello" } }));
  await once(post, "finish");
  await fetch(`${httpUrl}/healthz`);
  const pressing = setInterval(() => start.signal("SIGINT"), 100);
  const code = await start.ended;
  clearInterval(pressing);
  expect(code).toBe(1);
  expect(start.stderr()).toBe("kata: stopped without waiting\n");
});

test("when nats-server dies the start ends, and says so", async () => {
  await using directory = await createTempDirectory();
  await using start = await startKata({ dataDirectory: directory.path });
  await start.running;
  process.kill((await natsPid(directory.path)) ?? 0, "SIGKILL");
  expect(await start.ended).toBe(1);
  expect(start.stderr()).toBe("kata: nats-server ended by SIGKILL: stopping\n");
});

test("with NATS_URL no nats-server is started, and the one that is there stays", async () => {
  await using directory = await createTempDirectory();
  await using nats = await startNats();
  await using start = await startKata({ dataDirectory: directory.path, env: { NATS_URL: nats.url } });
  await start.running;
  const dev = await readDevFile(directory.path);
  expect(dev.natsUrl).toBe(nats.url);
  expect(await natsPid(directory.path)).toBeUndefined();
  await using client = await connectRaw({ wsUrl: dev.wsUrl, apiKey: dev.apiKey });
  client.send({ type: "subscribe", channel: "agent:broker", rewind: "all" });
  const [event] = await client.events("agent:broker", 1);
  expect(event).toMatchObject({ payload: { source: "broker" } });
  start.signal("SIGTERM");
  expect(await start.ended).toBe(0);
  const nc = await connectNats(nats.url, { reconnect: false });
  await nc.close();
});
