import { afterAll, beforeAll, expect, test } from "vitest";
import { startBroker } from "../support/broker.ts";
import { startProxy } from "../support/proxy.ts";
import { seededRandom } from "../support/random.ts";
import { caughtUp, clientOf, collect, entry, freshChannel, numbers, type Setup, startAll } from "./setup.ts";

let all: Setup;

beforeAll(async () => {
  all = await startAll();
});

afterAll(async () => {
  await all[Symbol.asyncDispose]();
});

/** At least. */
const EVENTS = 5_000;
const CUTS = 20;

test.each([
  ["one envelope a frame", false],
  ["several envelopes a frame", true],
])(
  `invariant 2: ${CUTS} cuts at random bytes while events pour in: each acknowledged event once, in order (%s)`,
  async (_what, ndjson) => {
    const random = seededRandom();
    const channel = freshChannel();
    await using proxy = await startProxy({ port: all.broker.port });
    const client = clientOf(all.broker, { url: `ws://127.0.0.1:${proxy.port}`, random, ndjson });
    const live = caughtUp(client, channel);
    const handed = collect(client, channel);
    await client.connect();
    await live;

    let cuts = 0;
    const stored: string[] = [];
    const publishing = (async () => {
      // On and on until the last cut, so that each of them meets events on their way.
      while (cuts < CUTS || stored.length < EVENTS) {
        const batch = numbers(50, stored.length + 1).map((message) => all.publisher.publish(channel, entry(message)));
        for (const { eventId } of await Promise.all(batch)) stored.push(eventId);
      }
    })();
    for (; cuts < CUTS; cuts++) {
      const again = connects(client);
      await proxy.cutAfter(1 + Math.floor(random() * 64_000), "server");
      await again;
    }
    await publishing;
    await handed.reaches(stored.length);
    expect(handed.eventIds).toEqual(stored);
    expect(handed.log).toEqual(numbers(stored.length));
    expect(client.stats).toMatchObject({ connections: 1 + CUTS, gaps: 0, repeats: 0 });
    expect(proxy.connections).toBe(1 + CUTS);
  },
);

function connects(client: ReturnType<typeof clientOf>): Promise<void> {
  return new Promise((resolve) => {
    const off = client.on("state", ({ status }) => {
      if (status !== "connected") return;
      off();
      resolve();
    });
  });
}

test("[CLOSE-3] a broker that restarts: the client waits its slot, comes back and has missed nothing", async () => {
  const channel = freshChannel();
  const first = await startBroker({ nats: all.nats });
  const { port } = first;
  const client = clientOf(first);
  const codes: (number | undefined)[] = [];
  client.on("state", ({ closeCode }) => {
    if (closeCode !== undefined) codes.push(closeCode);
  });
  const live = caughtUp(client, channel);
  const handed = collect(client, channel);
  await client.connect();
  await live;
  await all.publisher.publish(channel, entry("1"));
  await handed.reaches(1);
  await first.close();
  await all.publisher.publish(channel, entry("2"));
  await using second = await startBroker({ nats: all.nats, port });
  await all.publisher.publish(channel, entry("3"));
  await handed.reaches(3);
  expect(handed.log).toEqual(numbers(3));
  expect(codes[0]).toBe(4412);
  expect(client.stats).toMatchObject({ connections: 2, gaps: 0 });
  client.close();
  expect(second.port).toBe(port);
});

test("a connection that falls silent without closing is noticed and made anew", async () => {
  const channel = freshChannel();
  await using proxy = await startProxy({ port: all.broker.port });
  const url = `ws://127.0.0.1:${proxy.port}`;
  const client = clientOf(all.broker, { url, pingIntervalMs: 50, timeoutMs: 1_000 });
  const live = caughtUp(client, channel);
  const handed = collect(client, channel);
  await client.connect();
  await live;
  proxy.pause();
  const lost = new Promise<string>((resolve) => {
    client.on("state", ({ status, code }) => {
      if (status === "connecting") resolve(code);
    });
  });
  await all.publisher.publish(channel, entry("1"));
  expect(await lost).toBe("timeout");
  proxy.resume();
  await handed.reaches(1);
  expect(handed.log).toEqual(["1"]);
  expect(client.stats.connections).toBe(2);
});

test("NATS goes away and comes back: the connections stay, and what is published then arrives", async () => {
  const own = await startAll();
  try {
    const channel = freshChannel();
    const client = clientOf(own.broker);
    const live = caughtUp(client, channel);
    const handed = collect(client, channel);
    await client.connect();
    await live;
    await own.publisher.publish(channel, entry("1"));
    await own.nats.kill();
    await own.nats.start();
    await own.publisher.publish(channel, entry("2"));
    await handed.reaches(2);
    expect(handed.log).toEqual(["1", "2"]);
    expect(client.stats).toEqual({ connections: 1, events: 2, repeats: 0, gaps: 0 });
  } finally {
    await own[Symbol.asyncDispose]();
  }
});
