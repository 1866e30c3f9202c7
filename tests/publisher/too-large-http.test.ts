import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { createPublisher, type PublisherOptions } from "@kata/publisher";
import { expect, onTestFinished, test, vi } from "vitest";
import { seededRandom } from "../support/random.ts";
import { readLog } from "../support/stream.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import { createRig, KEY, numbersOf, type Rig, TEAM, upTo } from "./rig.ts";

const event = (i: number, bytes = 400) => ({ type: "log_entry", payload: { message: "x".repeat(bytes), i } });

/** What is done with a publish: it is passed on with its answer, passed on and not answered for, or neither. */
type Deed = "pass" | "lose" | "refuse";

/** A gateway that takes so many bytes at a time. */
interface Gateway {
  readonly url: string;
  maxBytes: number;
  /** Whether it passes on what it says is too large. */
  lies: boolean;
  /** What is done with a publish that is not too large, the n-th of them. */
  deed: (n: number) => Deed;
  /** The sizes of those that were. */
  readonly tooLarge: number[];
  readonly taken: number[];
}

async function startGateway({ proxy }: Rig, maxBytes: number): Promise<Gateway> {
  const server = createServer((asked, answer) => {
    const bytes = Number(asked.headers["content-length"] ?? 0);
    const own = bytes > gateway.maxBytes;
    if (own) gateway.tooLarge.push(bytes);
    const deed = own || asked.method === "GET" ? "pass" : gateway.deed(gateway.taken.push(bytes) - 1);
    const refuse = () => void answer.writeHead(own ? 413 : 502, { "content-type": "text/html" }).end("<h1>Sorry</h1>");
    if (deed === "refuse" || (own && !gateway.lies)) return void asked.resume().on("end", refuse);
    const { method, url: path, headers } = asked;
    const onward = request({ host: "127.0.0.1", port: proxy.port, method, path, headers }, (response) => {
      if (own || deed === "lose") return void response.resume().on("end", refuse);
      answer.writeHead(response.statusCode ?? 0, response.headers);
      response.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    asked.pipe(onward);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const gateway: Gateway = { url, maxBytes, lies: false, deed: () => "pass", tooLarge: [], taken: [] };
  return gateway;
}

async function publisherAt({ url }: Gateway, options: Partial<PublisherOptions> = {}) {
  const publisher = await createPublisher({ url, apiKey: KEY, closeTimeoutMs: 50, ...options });
  onTestFinished(() => publisher.close().catch(() => undefined));
  return publisher;
}

test("a record that a gateway does not take gets there in parts, once and in order, and later ones are smaller", async () => {
  await using rig = await createRig({ way: "http" });
  const gateway = await startGateway(rig, 100_000);
  const publisher = await publisherAt(gateway);
  const all = await Promise.all(upTo(500).map((i) => publisher.publish("agent:a1", event(i))));
  expect(all.map(({ duplicate }) => duplicate)).toEqual(Array(500).fill(false));
  const log = await readLog(rig.nc);
  expect(numbersOf(log)).toEqual(upTo(500));
  expect(all.map(({ eventId }) => eventId)).toEqual(log.flatMap((record) => record.eventIds));
  const burst = (from: number) => Promise.all(upTo(500).map((i) => publisher.publish("agent:a1", event(from + i))));
  // Half of what was too large may still be.
  await burst(500);
  const { length } = gateway.tooLarge;
  await burst(1_000);
  await burst(1_500);
  expect(gateway.tooLarge.length).toBe(length);
  expect(numbersOf(await readLog(rig.nc))).toEqual(upTo(2_000));
  expect(publisher.stats).toMatchObject({ published: 2_000, failed: 0, queuedEvents: 0 });
});

test("an event that is too large by itself is told so, and none of its neighbours, however large", async () => {
  await using rig = await createRig({ way: "http" });
  const gateway = await startGateway(rig, 100_000);
  const publisher = await publisherAt(gateway);
  const events = [event(0), event(1), event(2, 120_000), event(3), event(4, 90_000), event(5)];
  const outcomes = await publisher.publishEach("agent:a1", events);
  const told = {
    code: "too_large",
    stored: "unknown",
    message: expect.stringMatching(/answered 413: something in between takes no \d+ bytes: have its limit raised/),
  };
  expect(outcomes[2]).toMatchObject({ error: told });
  expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1, 3, 4, 5]);
  // Nothing of what has to be one record is sent by itself.
  const together = publisher.publishMany(
    "agent:a1",
    upTo(200).map((i) => event(i, 600)),
    { idempotencyKey: "k" },
  );
  await expect(together).rejects.toMatchObject(told);
  expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1, 3, 4, 5]);
  expect(publisher.stats).toMatchObject({ published: 5, failed: 201 });
});

test("one that is in front of all others does not stop them", async () => {
  await using rig = await createRig({ way: "http" });
  const gateway = await startGateway(rig, 100_000);
  const publisher = await publisherAt(gateway);
  const outcomes = await publisher.publishEach("agent:a1", [event(0, 120_000), event(1, 150_000), event(2), event(3)]);
  expect(outcomes.map((outcome) => ("error" in outcome ? outcome.error.code : ""))).toEqual([
    "too_large",
    "too_large",
    "",
    "",
  ]);
  expect(numbersOf(await readLog(rig.nc))).toEqual([2, 3]);
});

test.each([
  ["the whole", 30_000, 400],
  ["its parts, too", 10_000, 400],
  ["its first part, too", 30_000, 40_000],
])(
  "a gateway that passes on what it says is too large, %s: not known, and nothing is stored twice",
  async (_, maxBytes, firstBytes) => {
    await using rig = await createRig({ way: "http" });
    const gateway = await startGateway(rig, maxBytes);
    gateway.lies = true;
    const publisher = await publisherAt(gateway);
    const events = upTo(100).map((i) => event(i, i === 0 ? firstBytes : 400));
    const outcomes = await publisher.publishEach("agent:a1", events);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ error: { stored: "unknown" } });
    expect(numbersOf(await readLog(rig.nc))).toEqual(upTo(100));
    await publisher.publish("agent:a1", event(100));
    expect(numbersOf(await readLog(rig.nc))).toEqual(upTo(101));
  },
);

test("answers that are lost, in whichever part: each event once, in order", async () => {
  await using rig = await createRig({ way: "http" });
  const gateway = await startGateway(rig, 30_000);
  const random = seededRandom();
  gateway.deed = () => (random() < 0.5 ? "pass" : random() < 0.5 ? "lose" : "refuse");
  const publisher = await publisherAt(gateway);
  const channels = ["agent:a1", "agent:a2", "agent:a3"];
  await Promise.all(channels.flatMap((channel) => upTo(300).map((i) => publisher.publish(channel, event(i)))));
  for (const channel of channels) {
    const log = await readLog(rig.nc, `kata.team.${TEAM}.${channel.replace(":", ".")}`);
    expect(numbersOf(log)).toEqual(upTo(300));
  }
});

test("its time is up between two parts: what was not sent is absent", async () => {
  await using rig = await createRig({ way: "http" });
  const gateway = await startGateway(rig, 30_000);
  gateway.deed = (n) => (n < 3 ? "pass" : "refuse");
  const publisher = await publisherAt(gateway, { publishTimeoutMs: 500 });
  const outcomes = await publisher.publishEach(
    "agent:a1",
    upTo(300).map((i) => event(i)),
  );
  const stored = outcomes.filter((outcome) => "eventId" in outcome).length;
  expect(numbersOf(await readLog(rig.nc))).toEqual(upTo(stored));
  expect(stored).toBeGreaterThan(0);
  expect(outcomes[stored]).toMatchObject({ error: { code: "unavailable", stored: "unknown" } });
  expect(outcomes.at(-1)).toMatchObject({ error: { code: "unavailable", stored: "no" } });
});

test.each([
  ["still takes as little", 30_000],
  ["takes all of it", 1_000_000],
])(
  "a process that ends between two parts: the next one stores what is missing, each event once, where the gateway %s",
  async (_, maxBytes) => {
    await using rig = await createRig({ way: "http" });
    await using directory = await createTempDirectory();
    const gateway = await startGateway(rig, 30_000);
    // The fourth is stored, and nobody is told; those behind it are not.
    gateway.deed = (n) => (n < 3 ? "pass" : n === 3 ? "lose" : "refuse");
    const first = await publisherAt(gateway, { spool: directory.path });
    const left = upTo(300).map((i) => first.publish("agent:a1", event(i)));
    const outcomes = Promise.allSettled(left);
    await vi.waitFor(() => expect(gateway.taken.length).toBeGreaterThan(5));
    await expect(first.close()).rejects.toMatchObject({ code: "spooled" });
    const stored = (await outcomes).filter(({ status }) => status === "fulfilled").length;
    const before = numbersOf(await readLog(rig.nc));
    expect(before.length).toBeGreaterThan(stored);
    expect(before).toEqual(upTo(before.length));

    gateway.maxBytes = maxBytes;
    gateway.deed = () => "pass";
    const second = await publisherAt(gateway, { spool: directory.path });
    await second.publish("agent:a1", event(300));
    expect(numbersOf(await readLog(rig.nc))).toEqual(upTo(301));
    expect(second.stats).toMatchObject({ failed: 0, queuedEvents: 0 });
  },
);
