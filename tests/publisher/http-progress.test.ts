import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer } from "node:net";
import { createDevelopmentAuth } from "@kata/broker";
import { createPublisher, type PublisherOptions } from "@kata/publisher";
import { expect, onTestFinished, test, vi } from "vitest";
import { startBroker, type TestBrokerOptions } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { brokerUrl } from "../support/nats-secrets.ts";
import { startProxy } from "../support/proxy.ts";
import { ensureTestStream, readLog } from "../support/stream.ts";
import { createRig, KEY, numbersOf, TEAM, upTo } from "./rig.ts";

const KILOBYTE = "x".repeat(1_000);
const event = (i: number, message = "m") => ({ type: "log_entry", payload: { message, i } });
const auth = createDevelopmentAuth({ apiKey: KEY, teamId: TEAM });

/** A publisher over HTTP, closed with the test without waiting for what is left. */
async function publisherAt(url: string, options: Partial<PublisherOptions> = {}) {
  const publisher = await createPublisher({ url, apiKey: KEY, closeTimeoutMs: 50, ...options });
  onTestFinished(() => publisher.close().catch(() => undefined));
  return publisher;
}

/** A broker of its own, and behind it a nats-server with the stream, to which it goes through the proxy. */
async function startOwnBroker(options: Omit<TestBrokerOptions, "nats">) {
  const nats = await startNats();
  const nc = await connectNats(nats.url);
  await ensureTestStream(nc);
  const proxy = await startProxy({ port: nats.port });
  const broker = await startBroker({ nats: { url: brokerUrl(proxy.port) }, ...auth, ...options });
  onTestFinished(async () => {
    await broker.close();
    await nc.close();
    await proxy[Symbol.asyncDispose]();
    await nats[Symbol.asyncDispose]();
  });
  return { nc, proxy, broker };
}

/** A way to the port on which so many bytes a second pass from the clients, all together. */
async function startSlowWay(port: number, bytesPerSecond: number): Promise<string> {
  let freeAt = 0;
  const server = createServer((client) => {
    const onward = connect(port, "127.0.0.1");
    onward.on("data", (chunk) => client.write(chunk));
    client.on("data", (chunk) => {
      client.pause();
      const now = performance.now();
      freeAt = Math.max(freeAt, now) + (chunk.length / bytesPerSecond) * 1_000;
      setTimeout(() => {
        if (!onward.destroyed) onward.write(chunk);
        client.resume();
      }, freeAt - now);
    });
    for (const socket of [client, onward]) socket.on("error", () => undefined);
    client.on("close", () => onward.destroy());
    onward.on("close", () => client.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: object;
}

const STORED: Answer = { status: 201, body: { published: 1, duplicates: 0, first: "abc-1-0000" } };

/** What takes itself for a broker: it says whose the key is and answers the n-th publish as it is told; not at all where nothing is. */
async function startFake(answer: (n: number) => Answer | undefined = () => STORED) {
  const paths: string[] = [];
  let posts = 0;
  const server = createHttpServer((req, res) => {
    paths.push(req.url ?? "");
    req.resume().on("end", () => {
      const told = req.method === "POST" ? answer(posts++) : { status: 200, body: { teamId: TEAM } };
      if (told === undefined) return;
      const { status, headers, body } = told;
      res.writeHead(status, headers).end(JSON.stringify(body));
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    paths,
    get posts() {
      return posts;
    },
  };
}

test("a record that takes longer on its way than an answer may gets there, and its events are stored once", async () => {
  await using rig = await createRig({ way: "http" });
  const url = await startSlowWay(rig.proxy.port, 300_000);
  const publisher = await publisherAt(url, { ackTimeoutMs: 250, publishTimeoutMs: 8_000 });
  await Promise.all(upTo(250).map((i) => publisher.publish("agent:a1", event(i, KILOBYTE))));
  expect(publisher.stats.retries).toBeGreaterThan(0);
  expect(numbersOf(await readLog(rig.nc))).toEqual(upTo(250));
});

test("beyond the broker's bytes a second, all of it gets there in the time that it takes", async () => {
  const { nc, broker } = await startOwnBroker({ config: { maxPublishBytesPerSecond: 200_000 } });
  const publisher = await publisherAt(broker.httpUrl, { ackTimeoutMs: 200, publishTimeoutMs: 12_000 });
  // As many as there are connections: they share what the broker takes, and each takes longer than an answer may.
  const channels = upTo(8).map((n) => `agent:a${n}`);
  await Promise.all(channels.flatMap((channel) => upTo(60).map((i) => publisher.publish(channel, event(i, KILOBYTE)))));
  for (const channel of channels) {
    const log = await readLog(nc, `kata.team.${TEAM}.${channel.replace(":", ".")}`);
    expect(numbersOf(log)).toEqual(upTo(60));
  }
});

test("channels whose owner cannot be asked do not keep the others from their turn", async () => {
  const asked = new Set<string>();
  const { nc, broker } = await startOwnBroker({
    access: {
      resolveSpecTeamId: async () => TEAM,
      resolveAgentTeamId: async (id) => {
        asked.add(id);
        throw new Error("the database is away");
      },
    },
  });
  const publisher = await publisherAt(broker.httpUrl);
  // As many as there are connections.
  const waiting = Promise.allSettled(upTo(8).map((i) => publisher.publish(`agent:a${i}`, event(i))));
  await vi.waitFor(() => expect(asked.size).toBe(8));
  expect(await publisher.publish("team:t1", event(9), { timeoutMs: 4_000 })).toMatchObject({ duplicate: false });
  expect(numbersOf(await readLog(nc))).toEqual([9]);
  await publisher.close().catch(() => undefined);
  for (const outcome of await waiting) expect(outcome).toMatchObject({ reason: { code: "unavailable" } });
});

test("requests of what is given up hold no connection: the next publish is sent at once", async () => {
  // As many as there are connections are never answered.
  const fake = await startFake((n) => (n < 8 ? undefined : STORED));
  const publisher = await publisherAt(`http://${fake.host}`, { ackTimeoutMs: 60_000 });
  const lost = upTo(8).map((i) => publisher.publish(`agent:a${i}`, event(i), { timeoutMs: 100 }));
  for (const each of lost) await expect(each).rejects.toMatchObject({ code: "unavailable", stored: "unknown" });
  expect(await publisher.publish("agent:a8", event(8), { timeoutMs: 4_000 })).toMatchObject({ duplicate: false });
  expect(fake.posts).toBe(9);
  expect(publisher.stats.connected).toBe(true);
});

/** How far the clock was put forward until the publish was sent again that was answered with a `Retry-After` of ten minutes, milliseconds. */
async function sentAgainAfter(headers: Record<string, string>, body?: object): Promise<number> {
  let ahead = 0;
  const dateNow = Date.now.bind(Date);
  const clock = vi.spyOn(Date, "now").mockImplementation(() => dateNow() + ahead);
  onTestFinished(() => clock.mockRestore());
  const refusal = { status: 503, headers, ...(body === undefined ? {} : { body }) };
  const fake = await startFake((n) => (n === 0 ? refusal : STORED));
  const publisher = await publisherAt(`http://${fake.host}`, { publishTimeoutMs: Number.POSITIVE_INFINITY });
  const published = publisher.publish("agent:a1", event(0));
  await vi.waitFor(() => expect(fake.posts).toBe(1));
  // The first minute may go by before the answer has come.
  const another = () => {
    if (fake.posts === 1) ahead += 61_000;
    return fake.posts;
  };
  await expect.poll(another, { interval: 300 }).toBe(2);
  expect(await published).toMatchObject({ duplicate: false });
  return ahead;
}

const BUSY = { error: { code: "unavailable", message: "later", retryable: true } };

test("[LIMIT-1] a gateway's Retry-After of ten minutes is not believed: some minutes later it is tried again", async () => {
  expect(await sentAgainAfter({ "retry-after": "600" })).toBeLessThan(600_000);
});

test.each([
  ["in seconds", { "retry-after": "600" }],
  ["as a date", { date: "Sun, 06 Nov 1994 08:49:37 GMT", "retry-after": "Sun, 06 Nov 1994 08:59:37 GMT" }],
])("[LIMIT-1] a broker's Retry-After, %s, is kept to", async (_, headers) => {
  expect(await sentAgainAfter(headers, BUSY)).toBeGreaterThanOrEqual(600_000);
});

test("a key that is revoked while its record is on its way: what is stored is not told to be absent", async () => {
  let revoke = () => {};
  const principal = await auth.apiKeys.verifyKey(KEY);
  const { nc, proxy, broker } = await startOwnBroker({
    apiKeys: {
      verifyKey: (key) => auth.apiKeys.verifyKey(key),
      onRevoked: (listener) => {
        revoke = () => listener({ type: "api_key", keyId: principal?.keyId ?? "" });
        return () => undefined;
      },
    },
  });
  const publisher = await publisherAt(broker.httpUrl, { ackTimeoutMs: 20_000 });
  await publisher.publish("team:t1", event(0));
  const sent = proxy.passes('"i":1', "client");
  const published = publisher.publish("team:t1", event(1));
  await sent;
  proxy.pause();
  await vi.waitFor(async () => expect(numbersOf(await readLog(nc))).toEqual([0, 1]));
  revoke();
  await new Promise((next) => setImmediate(next));
  proxy.resume();
  expect(await published).toMatchObject({ duplicate: false });
  expect(numbersOf(await readLog(nc))).toEqual([0, 1]);
});

test.each([
  ["a request that was ended while events were on their way", "unknown", { published: 0, failed: 0 }],
  ["a request that was refused as a whole", "no", {}],
])("whether an event of %s is stored: %s", async (_, stored, counts) => {
  const error = { code: "unauthenticated", message: "the key was revoked", retryable: false };
  const fake = await startFake(() => ({ status: 401, body: { ...counts, error } }));
  const publisher = await publisherAt(`http://${fake.host}`);
  const refused = publisher.publish("agent:a1", event(0));
  await expect(refused).rejects.toMatchObject({ code: "unauthenticated", stored });
});

test("a base URL that ends with two slashes is the one that ends with none", async () => {
  const fake = await startFake();
  const publisher = await publisherAt(`http://${fake.host}//`, { connectTimeoutMs: 1_000 });
  await publisher.publish("agent:a1", event(0));
  expect(fake.paths).toEqual(["/v1/publisher", "/v1/channels/agent:a1/events"]);
});

test("a base URL whose path begins with two slashes stays at its host: the key is sent nowhere else", async () => {
  const fake = await startFake();
  const elsewhere = await startFake();
  const publisher = await publisherAt(`http://${fake.host}//${elsewhere.host}/`);
  await publisher.publish("agent:a1", event(0));
  expect(elsewhere.paths).toEqual([]);
  const base = `//${elsewhere.host}`;
  expect(fake.paths).toEqual([`${base}/v1/publisher`, `${base}/v1/channels/agent:a1/events`]);
});

test("tls with an http:// URL is a TypeError: it would not be used", async () => {
  const { host, paths } = await startFake();
  const tls = { caFile: "ca.pem" };
  await expect(createPublisher({ url: `http://${host}`, apiKey: KEY, tls })).rejects.toThrow(TypeError);
  await expect(createPublisher({ url: `http://${host}`, apiKey: KEY, tls: {} })).rejects.toThrow(TypeError);
  expect(paths).toEqual([]);
});
