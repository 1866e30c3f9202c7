import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { createPublisher, type PublisherOptions } from "@kata/publisher";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { readLog } from "../support/stream.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import { createRig, KEY, numbersOf, type Rig, TEAM, upTo } from "./rig.ts";

const event = (i: number) => ({ type: "log_entry", payload: { message: "m", i } });

/** The process warnings of a test. */
function collectWarnings(): string[] {
  const warnings: string[] = [];
  const collect = ({ name, message }: Error) => void (name === "KataPublisher" && warnings.push(message));
  process.on("warning", collect);
  onTestFinished(() => void process.off("warning", collect));
  return warnings;
}

/** Publishers that know whose they are. */
function starting(rig: Rig, spool: string, more: Partial<PublisherOptions> = {}) {
  return rig.publisher({ teamId: TEAM, spool, connectTimeoutMs: 500, closeTimeoutMs: 50, ...more });
}

describe("a publisher with a spool and a teamId", () => {
  test("starts while nothing can be reached: what it takes is stored once, in order, when the way is there", async () => {
    await using rig = await createRig({ way: "http" });
    await using directory = await createTempDirectory();
    const warnings = collectWarnings();
    rig.proxy.refuse(true);
    const first = await starting(rig, directory.path);
    expect(first.stats.connected).toBe(false);
    const left = upTo(300).map((i) => first.publish(i % 3 === 0 ? "agent:a2" : "agent:a1", event(i)));
    const keyed = first.publish("agent:a1", { ...event(300), idempotencyKey: "k" });
    const rejected = Promise.allSettled([...left, keyed]);
    await first.spooled();
    // It ends before it has reached anything.
    await expect(first.close()).rejects.toMatchObject({ code: "spooled" });
    for (const outcome of await rejected) expect(outcome).toMatchObject({ reason: { code: "spooled" } });

    // Nor does the next one, which has it all the same.
    await (await starting(rig, directory.path)).close().catch(() => undefined);
    const second = await starting(rig, directory.path);
    expect(second.stats).toMatchObject({ connected: false, queuedEvents: 301, channels: 2 });
    const next = second.publish("agent:a1", event(301));
    rig.proxy.refuse(false);
    await next;
    await second.flush();
    expect(second.stats).toMatchObject({ connected: true, queuedEvents: 0, failed: 0 });
    const ofA1 = [...upTo(300).filter((i) => i % 3 !== 0), 300, 301];
    expect(numbersOf(await readLog(rig.nc, "kata.team.t1.agent.a1"))).toEqual(ofA1);
    expect(numbersOf(await readLog(rig.nc, "kata.team.t1.agent.a2"))).toEqual(upTo(300).filter((i) => i % 3 === 0));
    expect(await second.publish("agent:a1", { ...event(302), idempotencyKey: "k" })).toMatchObject({ duplicate: true });
    expect(warnings).toEqual([]);
  });

  test("what it takes is bounded as ever, and an event's own time runs out", async () => {
    await using rig = await createRig({ way: "http" });
    await using directory = await createTempDirectory();
    rig.proxy.refuse(true);
    const publisher = await starting(rig, directory.path, { maxQueueBytes: 4_000 });
    const kept = publisher.publish("agent:a1", event(0));
    const late = publisher.publish("agent:a2", event(1), { timeoutMs: 50 });
    await expect(late).rejects.toMatchObject({ code: "unavailable", stored: "unknown" });
    const many = await publisher
      .publishEach("agent:a3", [{ type: "log_entry", payload: { message: "x".repeat(4_000) } }])
      .catch((error: unknown) => error);
    expect(many).toMatchObject({ code: "queue_full", stored: "no" });
    rig.proxy.refuse(false);
    await kept;
    expect(numbersOf(await readLog(rig.nc))).toEqual([0]);
  });

  test("closed while it tries, it ends, and what it tries comes to nothing", async () => {
    await using rig = await createRig({ way: "http" });
    await using directory = await createTempDirectory();
    rig.proxy.refuse(true);
    const publisher = await starting(rig, directory.path, { connectTimeoutMs: 3_000 });
    rig.proxy.pause();
    rig.proxy.refuse(false);
    const before = rig.proxy.connections;
    await vi.waitFor(() => expect(rig.proxy.connections).toBeGreaterThan(before));
    await publisher.close();
    rig.proxy.resume();
    await vi.waitFor(() => expect(rig.proxy.open).toBe(0));
    // The spool is free again.
    await (await starting(rig, directory.path)).close();
  });

  test("without a spool it needs to connect", async () => {
    await using rig = await createRig({ way: "http" });
    rig.proxy.refuse(true);
    const publisher = createPublisher({ ...rig.where, teamId: TEAM, connectTimeoutMs: 300 });
    await expect(publisher).rejects.toMatchObject({ code: "unavailable" });
  });
});

test("whose it is must be known: without a teamId it needs to connect", async () => {
  await using rig = await createRig({ way: "http" });
  await using directory = await createTempDirectory();
  rig.proxy.refuse(true);
  const publisher = createPublisher({ ...rig.where, spool: directory.path, connectTimeoutMs: 300 });
  await expect(publisher).rejects.toMatchObject({ code: "unavailable" });
});

test("a key of another team gets nothing of it, and the process is warned", async () => {
  await using rig = await createRig({ way: "http" });
  await using directory = await createTempDirectory();
  const warnings = collectWarnings();
  rig.proxy.refuse(true);
  const publisher = await starting(rig, directory.path, { teamId: "t2" });
  const published = publisher.publish("agent:a1", event(0));
  rig.proxy.refuse(false);
  await vi.waitFor(() => expect(warnings).toEqual([expect.stringContaining("of team t1, not of t2")]));
  const outcome = expect(published).rejects.toMatchObject({ code: "spooled" });
  await expect(publisher.close()).rejects.toMatchObject({ message: expect.stringContaining("of team t1, not of t2") });
  await outcome;
  expect(await readLog(rig.nc)).toEqual([]);
});

test.each([
  ["a line feed of its file", `${KEY}\n`, /a line feed of the file/],
  ["a carriage return", `${KEY}\r`, /a line feed of the file/],
  ["letters that no header can hold", "\u043a\u043b\u044e\u0447", /no HTTP header can hold: it is no valid key$/],
])("a key with %s is told at once, with a spool and without, and not shown", async (_, apiKey, message) => {
  await using rig = await createRig({ way: "http" });
  await using directory = await createTempDirectory();
  const told = { code: "unauthenticated", stored: "no", message: expect.stringMatching(message) };
  const error = await starting(rig, directory.path, { apiKey }).catch((each: unknown) => each);
  expect(error).toMatchObject(told);
  expect(String(error)).not.toContain(apiKey.trim());
  await expect(rig.publisher({ apiKey, connectTimeoutMs: 60_000 })).rejects.toMatchObject(told);
  expect(rig.proxy.connections).toBe(0);
  // The spool is free.
  await (await starting(rig, directory.path)).close();
});

test("what somebody in between answers is not believed, a broker's word is: the process is warned of each, and the way is tried again", async () => {
  await using rig = await createRig({ way: "http" });
  await using directory = await createTempDirectory();
  const warnings = collectWarnings();
  const answers: Record<string, [number, string]> = {
    portal: [403, "<h1>Accept our terms</h1>"],
    broker: [401, JSON.stringify({ error: { code: "unauthenticated", message: "revoked", retryable: false } })],
  };
  let who = "portal";
  const between = createServer((asked, answer) => {
    const [status, text] = answers[who] ?? [];
    if (status !== undefined) return void answer.writeHead(status).end(text);
    const { method, url: path, headers } = asked;
    const forwarded = request({ port: rig.proxy.port, method, path, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 0, response.headers);
      response.pipe(answer);
    });
    asked.pipe(forwarded);
  });
  await new Promise<void>((listening) => between.listen(0, "127.0.0.1", listening));
  onTestFinished(() => void between.close());
  const url = `http://127.0.0.1:${(between.address() as AddressInfo).port}`;
  const publisher = await starting(rig, directory.path, { url });
  const published = publisher.publish("agent:a1", event(0));
  const page = expect.stringMatching(/answered 403: what answers there is no broker/);
  await vi.waitFor(() => expect(warnings).toEqual([page]));
  who = "broker";
  await vi.waitFor(() => expect(warnings).toEqual([page, expect.stringMatching(/answered 401: revoked/)]));
  who = "nobody";
  await published;
  expect(numbersOf(await readLog(rig.nc))).toEqual([0]);
  // At the start, a broker's word ends it.
  who = "broker";
  await using other = await createTempDirectory();
  await expect(starting(rig, other.path, { url })).rejects.toMatchObject({ code: "unauthenticated" });
});

test("an address that does not speak TLS is told as one", async () => {
  await using rig = await createRig({ way: "http" });
  await using directory = await createTempDirectory();
  const warnings = collectWarnings();
  const publisher = await starting(rig, directory.path, { url: `https://127.0.0.1:${rig.proxy.port}` });
  await vi.waitFor(() => expect(warnings).toEqual([expect.stringContaining("cannot be reached")]));
  await publisher.close();
});
