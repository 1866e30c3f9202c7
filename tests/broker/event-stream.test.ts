import { createPublisher, type Publisher } from "@kata/publisher";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type InProcessBroker, startBroker, TEST_KEY } from "../support/broker.ts";
import { openEventSource } from "../support/event-stream.ts";
import { freePort } from "../support/free-port.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { startProxy } from "../support/proxy.ts";
import { openSlowEventStream } from "../support/slow-event-stream.ts";

let nats: TestNats;
let broker: InProcessBroker;
let publisher: Publisher;

const config = { auditIntervalMs: 100, heartbeatIntervalMs: 50, heartbeatTimeoutMs: 5_000 };

beforeEach(async () => {
  nats = await startNats();
  broker = await startBroker({ nats, config });
  publisher = await createPublisher({ servers: nats.url, teamId: "demo" });
});

afterEach(async () => {
  await publisher?.close();
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

const CHANNEL = "agent:build";
const log = (i: number, text = "") => ({ type: "log_entry", payload: { message: `${i}`, text } }) as const;
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const url = (query = "", port = broker.port) => `http://127.0.0.1:${port}/v1/channels/${CHANNEL}/stream${query}`;

describe("[STREAM-1] [STREAM-2] a stream", () => {
  it("gives an EventSource history and what comes, each event once, in order, with its eventId", async () => {
    const early = await publisher.publishMany(
      CHANNEL,
      range(0, 30).map((i) => log(i)),
    );
    using source = openEventSource(url("?rewind=all"));
    await expect.poll(() => source.messages.at(-1)?.type).toBe("caught_up");
    const late = await publisher.publishMany(
      CHANNEL,
      range(30, 60).map((i) => log(i)),
    );
    await expect.poll(source.events).toEqual(range(0, 60));
    const [subscribed] = source.messages;
    expect(subscribed).toMatchObject({ type: "subscribed", data: { payload: { recovery: "fresh" } } });
    const events = source.messages.filter(({ type }) => type === "message");
    expect(events.map(({ lastEventId }) => lastEventId)).toEqual([...early, ...late].map(({ eventId }) => eventId));
    expect(source.messages[31]?.type).toBe("caught_up");
  });

  it("[STREAM-5] attacks invariant 2: cut again and again, an EventSource resumes by itself and misses nothing", async () => {
    await using proxy = await startProxy({ port: broker.port });
    using source = openEventSource(url("", proxy.port));
    await expect.poll(() => source.messages.at(-1)?.type).toBe("caught_up");
    for (let round = 0; round < 3; round++) {
      // Somewhere among the events of this round, which have some 300 kB.
      const cut = proxy.cutAfter(50_000 * (round + 1), "server");
      const publishing = publisher.publishMany(
        CHANNEL,
        range(round * 2_000, round * 2_000 + 2_000).map((i) => log(i)),
      );
      await cut;
      expect(source.events().length).toBeLessThan((round + 1) * 2_000);
      await publishing;
      await expect.poll(() => source.events().length, { timeout: 10_000 }).toBe((round + 1) * 2_000);
      await expect.poll(() => source.opened, { timeout: 10_000 }).toBe(round + 2);
    }
    expect(source.events()).toEqual(range(0, 6_000));
    await expect.poll(() => source.messages.at(-1)?.type).toBe("caught_up");
    const answers = source.messages
      .filter(({ type }) => type === "subscribed")
      .map(({ data }) => data.payload.recovery);
    expect(answers).toEqual(["fresh", "complete", "complete", "complete"]);
  });

  it("is refused with the status and the body of any request", async () => {
    const refused = async (path: string, key = TEST_KEY) => {
      const response = await fetch(`${broker.httpUrl}/v1/channels/${path}`, { headers: { "x-api-key": key } });
      return [response.status, ((await response.json()) as { error: { code: string } }).error.code];
    };
    expect(await refused(`${CHANNEL}/stream`, "kat_wrong")).toEqual([401, "unauthenticated"]);
    expect(await refused("team:other/stream")).toEqual([403, "forbidden"]);
    expect(await refused("nonsense/stream")).toEqual([400, "invalid_channel"]);
    const posted = await fetch(url(), { method: "POST" });
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET"]);
  });
});

describe("[STREAM-3] a stream starts", () => {
  it.each([
    ["?rewind=all", range(0, 10)],
    ["?rewind=3", range(7, 10)],
    ["?rewind=60s", range(0, 10)],
    ["?rewind=0", []],
    ["", []],
  ])("with %s where it says", async (query, expected) => {
    for (const i of range(0, 10)) await publisher.publish(CHANNEL, log(i));
    using source = openEventSource(url(query));
    await expect.poll(() => source.messages.at(-1)?.type).toBe("caught_up");
    expect(source.events()).toEqual(expected);
  });

  it("after the position that it is given, which the header beats; a place that is gone is a gap", async () => {
    const ids: string[] = [];
    for (const i of range(0, 10)) ids.push((await publisher.publish(CHANNEL, log(i))).eventId);
    using source = openEventSource(url(`?rewind=all&lastEventId=${ids[4]}`));
    await expect.poll(source.events).toEqual(range(5, 10));
    const headers = { "x-api-key": TEST_KEY, "last-event-id": ids[7] as string };
    const response = await fetch(url(`?rewind=all&lastEventId=${ids[4]}`), { headers });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = "";
    while (!text.includes("caught_up")) text += new TextDecoder().decode((await reader.read()).value);
    await reader.cancel();
    expect([...text.matchAll(/"message":"(\d)"/g)].map((match) => Number(match[1]))).toEqual([8, 9]);
    const nc = await connectNats(nats.url);
    await (await jetstreamManager(nc)).streams.purge("KATA", { seq: 6 });
    await nc.close();
    using behind = openEventSource(url(`?lastEventId=${ids[2]}`));
    await expect.poll(behind.events).toEqual(range(5, 10));
    expect(behind.messages[0]?.data.payload).toMatchObject({ recovery: "gap", reason: "expired" });
  });

  it.each([
    "?rewind=some",
    "?rewind=-1",
    "?rewind=100001",
    "?rewind=1e3",
    "?rewind",
    "?rewind=all%",
    "?lastEventId=a-1-abcd%",
    "?lasteventid=a-1-abcd",
    "?rewind=all&rewind=all",
    "?rewind=",
    "?rewind=much&lastEventId=1",
  ])("with %s nowhere: it is refused", async (query) => {
    const response = await fetch(url(query), { headers: { "x-api-key": TEST_KEY } });
    expect([response.status, await response.json()]).toMatchObject([400, { error: { code: "bad_request" } }]);
  });
});

describe("[STREAM-4] a quiet stream", () => {
  it("shows that it lives, and its position moves on without anything being handed over", async () => {
    await publisher.publish("agent:busy", log(0));
    await using proxy = await startProxy({ port: broker.port });
    using source = openEventSource(url("", proxy.port));
    await expect.poll(() => source.messages.length).toBe(2);
    const elsewhere = await publisher.publish("agent:busy", log(1));
    await expect.poll(() => source.text).toContain(`event: pong\nid: ${elsewhere.eventId}\n`);
    await expect.poll(() => source.text).toContain("\n\n:\n\n");
    expect(source.messages).toHaveLength(2);
    proxy.cut();
    await expect.poll(() => source.messages.length, { timeout: 10_000 }).toBe(4);
    expect(source.messages[2]).toMatchObject({
      type: "subscribed",
      lastEventId: elsewhere.eventId,
      data: { payload: { recovery: "complete" } },
    });
  });
});

describe("[STREAM-5] a stream ends", () => {
  it("before a planned close the client is told its slot, and comes back to the next broker without a gap", async () => {
    await broker.close();
    const port = await freePort();
    broker = await startBroker({ nats, config, port });
    using source = openEventSource(url("?rewind=all"));
    await expect.poll(() => source.messages.at(-1)?.type).toBe("caught_up");
    await publisher.publish(CHANNEL, log(0));
    await expect.poll(source.events).toEqual([0]);
    await broker.close();
    await expect.poll(() => source.text.match(/retry: \d+\n\n/g)).toHaveLength(2);
    await publisher.publish(CHANNEL, log(1));
    broker = await startBroker({ nats, config, port });
    await expect.poll(source.events, { timeout: 10_000 }).toEqual([0, 1]);
    expect(source.messages.filter(({ type }) => type === "subscribed").at(-1)?.data.payload.recovery).toBe("complete");
  });

  it.each([
    ["records of 50 events of 20 kB", 1_000, 50, 20_000],
    ["events of 100 kB", 200, 1, 100_000],
    ["records of 1,000 events of 200 bytes", 100_000, 1_000, 200],
  ])(
    "attacks invariants 2 and 4: a slow reader gets everything whole, once, in order (%s)",
    async (_what, events, burst, bytes) => {
      using slow = openSlowEventStream(broker.port, CHANNEL);
      await expect.poll(() => slow.signs).toContain("caught_up");
      slow.pause();
      await publishMuch(events, burst, bytes);
      expect(slow.messages.length).toBeLessThan(events);
      slow.resume();
      await expect.poll(() => slow.messages.length, { timeout: 20_000 }).toBe(events);
      expect(slow.messages).toEqual(range(0, events));
    },
  );

  it("a reader that takes nothing at all is cut off", async () => {
    await broker.close();
    broker = await startBroker({ nats, config: { ...config, stallTimeoutMs: 500 } });
    using slow = openSlowEventStream(broker.port, CHANNEL);
    await expect.poll(() => slow.signs).toContain("caught_up");
    slow.pause();
    await publishMuch(1_000, 50, 20_000);
    const streams = async () =>
      (await broker.metrics()).match(/kata_connections\{transport="event_stream"\} (\d+)/)?.[1];
    await expect.poll(streams, { timeout: 20_000 }).toBe("0");
    // What is in the system's buffers can still be read; behind it is the end.
    slow.resume();
    await slow.closed;
    expect(slow.messages.length).toBeLessThan(1_000);
  });
});

/** More than the system's buffers take. */
async function publishMuch(events: number, burst: number, bytes: number): Promise<void> {
  const text = "x".repeat(bytes);
  for (let i = 0; i < events; i += burst) {
    await publisher.publishMany(
      CHANNEL,
      range(i, i + burst).map((j) => log(j, text)),
    );
  }
}
