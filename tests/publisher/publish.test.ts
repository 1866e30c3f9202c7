import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createPublisher, PublisherError, type PublisherOptions } from "@kata/publisher";
import { describe, expect, test, vi } from "vitest";
import { connectNats } from "../support/nats-connect.ts";
import { brokerUrl } from "../support/nats-secrets.ts";
import { readLog } from "../support/stream.ts";
import { createRig, eventIdsOf, numbersOf, startLoad, TEAM, upTo, WAYS } from "./rig.ts";

const event = (i: number) => ({ type: "log_entry", payload: { message: "m", i } });

describe.each(WAYS)("publish over %s", (way) => {
  test("answers with the eventIds that stand in the log: sequence, check and place in the record", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const results = await Promise.all(upTo(300).map((i) => publisher.publish("agent:a1", event(i))));
    const log = await readLog(rig.nc);
    expect(numbersOf(log)).toEqual(upTo(300));
    expect(results.map((result) => result.eventId)).toEqual(eventIdsOf(log));
    expect(results.every((result) => !result.duplicate)).toBe(true);
  });

  test("maps channels to their subjects", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    for (const channel of [`team:${TEAM}`, "spec:s1", "agent:a1"]) await publisher.publish(channel, event(0));
    expect((await readLog(rig.nc)).map((record) => record.subject)).toEqual([
      "kata.team.t1",
      "kata.team.t1.spec.s1",
      "kata.team.t1.agent.a1",
    ]);
  });

  test("what is published in one tick travels in one record", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    await Promise.all(upTo(100).map((i) => publisher.publish("agent:a1", event(i))));
    expect(await readLog(rig.nc)).toHaveLength(1);
  });

  test("records fill up while one is in flight, and no channel has two in flight", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ ackTimeoutMs: 60_000 });
    await publisher.publish("agent:a1", event(0));
    await publisher.publish("agent:b1", event(0));
    rig.proxy.pause();
    const first = publisher.publish("agent:a1", event(1));
    await nextTurn();
    const rest = upTo(500).map((i) => publisher.publish("agent:a1", event(i + 2)));
    await nextTurn();
    const other = publisher.publish("agent:b1", event(1));
    await nextTurn();
    rig.proxy.resume();
    await Promise.all([first, other, ...rest]);
    const log = await readLog(rig.nc, "kata.team.t1.agent.a1");
    expect(log.map((record) => record.lines.length)).toEqual([1, 1, 500]);
    expect(numbersOf(log)).toEqual(upTo(502));
    // The second channel did not wait for the first one's 500: it was sent while they waited for an acknowledgement.
    expect(rig.seen.map((message) => message.subject.slice(-2))).toEqual(["a1", "b1", "a1", "b1", "a1"]);
  });

  test("a record keeps to its bounds in events and bytes, and a single event may exceed the bytes", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ maxRecordEvents: 10, maxRecordBytes: 4_000 });
    const big = { type: "log_entry", payload: { message: "x".repeat(9_000), i: 25 } };
    await Promise.all([
      ...upTo(25).map((i) => publisher.publish("agent:a1", event(i))),
      publisher.publish("agent:a1", big),
      ...upTo(30).map((i) =>
        publisher.publish("agent:a1", { ...event(26 + i), payload: { message: "y".repeat(880), i: 26 + i } }),
      ),
    ]);
    const log = await readLog(rig.nc);
    expect(numbersOf(log)).toEqual(upTo(56));
    expect(log.map((record) => record.lines.length)).toEqual([10, 10, 5, 1, 4, 4, 4, 4, 4, 4, 4, 2]);
  });

  test("many channels at once each keep their order", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ maxRecordEvents: 7 });
    const loads = upTo(40).map((c) => startLoad(publisher, `agent:c${c}`, 200, 20));
    await Promise.all(loads.map((load) => load.done));
    for (const [c, load] of loads.entries()) {
      const log = await readLog(rig.nc, `kata.team.t1.agent.c${c}`);
      expect(numbersOf(log)).toEqual(upTo(200));
      expect(load.results.map((result) => result?.eventId)).toEqual(eventIdsOf(log));
    }
  });

  test("so many channels send at a time; what waits for its turn fills up, and each gets its turn", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ ackTimeoutMs: 60_000 });
    const channels = upTo(100).map((c) => `agent:c${c}`);
    rig.proxy.pause();
    const published: Promise<unknown>[] = [];
    for (const i of upTo(10)) {
      for (const channel of channels) published.push(publisher.publish(channel, event(i)));
      await nextTurn();
    }
    rig.proxy.resume();
    await Promise.all(published);
    for (const c of [0, 50, 99]) {
      expect(numbersOf(await readLog(rig.nc, `kata.team.t1.agent.c${c}`))).toEqual(upTo(10));
    }
    // Those that were sent at once had one event, and the rest of theirs in a second one.
    const records = (await readLog(rig.nc)).length;
    expect(records).toBeLessThanOrEqual(100 + 16);
    expect(records).toBeGreaterThan(100);
  });

  test("the payload is encoded at once: changing it later changes nothing", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const payload = { message: "before", i: 0 };
    const published = publisher.publish("agent:a1", { type: "log_entry", payload });
    payload.message = "after";
    await published;
    expect((await readLog(rig.nc))[0]?.lines[0]).toContain('"message":"before"');
  });

  test("timestamps are the caller's, in UTC, or now", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const before = Date.now();
    await publisher.publish("agent:a1", { ...event(0), timestamp: "2026-01-31T13:00:00.5+01:00" });
    await publisher.publish("agent:a1", { ...event(1), timestamp: "2026-01-31T12:00:00.123456Z" });
    await publisher.publish("agent:a1", { ...event(2), timestamp: new Date(0) });
    await publisher.publish("agent:a1", event(3));
    const times = (await readLog(rig.nc)).map(
      (record) => (JSON.parse(record.lines[0] ?? "") as { timestamp: string }).timestamp,
    );
    expect(times.slice(0, 3)).toEqual([
      "2026-01-31T12:00:00.500Z",
      "2026-01-31T12:00:00.123456Z",
      "1970-01-01T00:00:00.000Z",
    ]);
    expect(Date.parse(times[3] ?? "")).toBeGreaterThanOrEqual(before);
  });
});

describe.each(WAYS)("publishMany over %s", (way) => {
  test("answers in the order of the events, also over several records", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ maxRecordEvents: 30 });
    const results = await publisher.publishMany("agent:a1", upTo(100).map(event));
    const log = await readLog(rig.nc);
    expect(numbersOf(log)).toEqual(upTo(100));
    expect(results.map((result) => result.eventId)).toEqual(eventIdsOf(log));
    expect(await publisher.publishMany("agent:a1", [])).toEqual([]);
  });

  test("answered for each by itself: what is rejected is told at its place", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    await publisher.publishMany("agent:a1", [event(0), event(1)], { idempotencyKey: "many" });
    const events = [event(2), { ...event(3), idempotencyKey: "many" }, event(4), { ...event(5), idempotencyKey: "k" }];
    const outcomes = await publisher.publishEach("agent:a1", events);
    expect(outcomes).toMatchObject([
      { duplicate: false },
      { error: { code: "key_taken", stored: "no" } },
      { duplicate: false },
      { duplicate: false },
    ]);
    expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1, 2, 4, 5]);
    expect(await publisher.publishEach("agent:a1", [])).toEqual([]);
    await expect(publisher.publishEach("nowhere", [event(6)])).rejects.toMatchObject({ code: "invalid_channel" });
  });

  test("accepts all or none", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher();
    const bad = { type: "subscribed", payload: {} };
    await expect(publisher.publishMany("agent:a1", [event(0), bad])).rejects.toMatchObject({ code: "invalid_event" });
    await publisher.flush();
    expect(await readLog(rig.nc)).toEqual([]);
  });
});

describe.each(WAYS)("flush and close over %s", (way) => {
  test("flush resolves when everything accepted so far is settled", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ maxRecordEvents: 10 });
    let settled = 0;
    const published = upTo(200).map((i) =>
      publisher.publish(i % 2 === 0 ? "agent:a1" : "agent:b1", event(i)).then(() => settled++),
    );
    await publisher.flush();
    expect(settled).toBe(200);
    await Promise.all(published);
    await publisher.flush();
  });

  test("close loses nothing that was accepted, and takes nothing more", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ maxRecordEvents: 10 });
    const published = upTo(500).map((i) => publisher.publish("agent:a1", event(i)));
    const closed = publisher.close();
    await expect(publisher.publish("agent:a1", event(500))).rejects.toMatchObject({ code: "closed", retryable: false });
    await closed;
    expect(publisher.close()).toBe(closed);
    const results = await Promise.all(published);
    const log = await readLog(rig.nc);
    expect(numbersOf(log)).toEqual(upTo(500));
    expect(results.map((result) => result.eventId)).toEqual(eventIdsOf(log));
    await vi.waitFor(() => expect(rig.proxy.open).toBe(0));
  });

  test.skipIf(way === "http")("a connection that the caller gave stays open", async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ connection: rig.nc });
    const other = await rig.publisher({ connection: rig.nc });
    await publisher.publish("agent:a1", event(0));
    await publisher.close();
    await other.publish("agent:a1", event(1));
    await other[Symbol.asyncDispose]();
    expect(rig.nc.isClosed()).toBe(false);
    expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1]);
  });

  test.skipIf(way === "http")("if the given connection is closed by its owner, what is left is rejected", async () => {
    await using rig = await createRig({ way });
    const nc = await connectNats(brokerUrl(rig.proxy.port));
    const publisher = await rig.publisher({ connection: nc });
    await publisher.publish("agent:a1", event(0));
    rig.proxy.pause();
    const published = publisher.publish("agent:a1", event(1));
    const refused = expect(published).rejects.toMatchObject({ code: "closed" });
    await nextTurn();
    await nc.close();
    await refused;
    await expect(publisher.publish("agent:a1", event(2))).rejects.toBeInstanceOf(PublisherError);
    await publisher.close();
    rig.proxy.resume();
  });
});

test("give exactly one of servers, url and connection", async () => {
  await expect(createPublisher({ teamId: TEAM })).rejects.toThrow(TypeError);
  await expect(createPublisher({ teamId: TEAM, url: "nats://a", servers: ["b"] })).rejects.toThrow(TypeError);
});

test.each([
  [{ servers: [] }, "servers must be"],
  [{ servers: null }, "servers must be"],
  [{ servers: "" }, "servers must be"],
  [{ servers: ["127.0.0.1:4222", ""] }, "servers must be"],
  [{ url: null }, "url must be"],
  [{ url: " " }, "url must be"],
  [{ connection: null }, "connection must be"],
])("nothing, given as where to connect, is not whatever listens on this machine: %j", async (where, why) => {
  const given = { teamId: TEAM, apiKey: "k", ...where } as PublisherOptions;
  if ("connection" in where) delete (given as { apiKey?: string }).apiKey;
  await expect(createPublisher(given)).rejects.toThrow(TypeError);
  await expect(createPublisher(given)).rejects.toThrow(why);
});

test("a variable that is not set is no key: what is missing is said", async () => {
  await expect(createPublisher({ servers: "127.0.0.1:1", apiKey: undefined })).rejects.toThrow("give an apiKey");
});

test("an idempotencySecret that is none is refused at once", async () => {
  const given = { servers: "127.0.0.1:1", teamId: TEAM, idempotencySecret: 5 as unknown as string };
  await expect(createPublisher(given)).rejects.toThrow("idempotencySecret must be");
});

test("publishers that are closed leave nothing on a connection that goes on", async () => {
  await using rig = await createRig();
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const publishers: WeakRef<object>[] = [];
  for (let i = 0; i < 20; i++) {
    const publisher = await createPublisher({ connection: rig.nc, teamId: TEAM });
    await publisher.publish("agent:a1", event(i));
    await publisher.close();
    publishers.push(new WeakRef(publisher));
  }
  await vi.waitFor(() => {
    collect();
    // The last one is on the stack, maybe.
    expect(publishers.filter((each) => each.deref() !== undefined).length).toBeLessThan(3);
  });
});

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
