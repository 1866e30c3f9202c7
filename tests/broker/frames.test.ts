import { createPublisher, type Publisher } from "@kata/publisher";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startBroker, TEST_KEY, type TestBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { seededRandom } from "../support/random.ts";
import { connectRaw, eventsOf, type RawClient } from "../support/raw-client.ts";
import { createMixture, type Expected } from "./mixture.ts";

const CHANNEL = "team:demo";

let nats: TestNats;
let broker: TestBroker;
let publisher: Publisher;
let nc: NatsConnection;
let store: Awaited<ReturnType<typeof createMixture>>["store"];

beforeEach(async () => {
  nats = await startNats();
  // Little memory and small pages, so that most of a replay comes from the log in many pieces.
  broker = await startBroker({ nats, config: { ringBytes: 4_096, pageRecords: 5 } });
  publisher = await createPublisher({ servers: nats.url, teamId: "demo" });
  nc = await connectNats(nats.url);
  ({ store } = await createMixture({ publisher, nc, channel: CHANNEL, subject: "kata.team.demo" }));
});

afterEach(async () => {
  await publisher?.close();
  await nc?.close();
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

/** A reader of each kind of frames, from the same start. */
async function pair(
  start: { lastEventId?: string; rewind?: unknown } = {},
  { wsUrl }: TestBroker = broker,
): Promise<[RawClient, RawClient]> {
  const open = async (protocol: string) => {
    const socket = await connectRaw({ wsUrl, apiKey: TEST_KEY, protocols: [protocol] });
    socket.send({ type: "subscribe", channel: CHANNEL, ...start });
    await socket.nextOf("subscribed");
    return socket;
  };
  return [await open("kata.v1"), await open("kata.v1.ndjson")];
}

async function expectSame([single, lines]: [RawClient, RawClient], expected: readonly Expected[]): Promise<void> {
  for (const socket of [single, lines]) {
    await socket.nextOf("caught_up");
    await socket.events(CHANNEL, expected.length);
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
  }
  const got = eventsOf(single.messages, CHANNEL);
  expect(got.map(({ eventId, type, payload }) => ({ eventId, type, payload }))).toEqual(expected);
  // To the letter: envelopes are the same text in both kinds of frames.
  expect(lines.frames.join("\n").split("\n").filter(isEvent)).toEqual(single.frames.filter(isEvent));
  for (const frame of single.frames) expect(frame).not.toContain("\n");
  expect(single.frames.length).toBe(single.messages.length);
  await single[Symbol.asyncDispose]();
  await lines[Symbol.asyncDispose]();
}

const isEvent = (envelope: string) => envelope.includes('"own.type"');

describe("[CONNECT-3] attacks invariant 1: the same events in either kind of frames", () => {
  it("live: one envelope a frame, or the whole record", async () => {
    const readers = await pair();
    const expected = await store(seededRandom());
    await readers[1].events(CHANNEL, expected.length);
    expect(readers[1].frames.length).toBeLessThan(readers[1].messages.length);
    await expectSame(readers, expected);
  });

  it.each([
    ["the log", 0],
    ["the memory of the broker", 64 * 1024 * 1024],
  ])("in a replay from %s", async (_where, ringBytes) => {
    await using other = await startBroker({ nats, config: { ringBytes, pageRecords: 5 } });
    const live = await pair({}, other);
    const expected = await store(seededRandom());
    await expectSame(await pair({ rewind: "all" }, other), expected);
    await expectSame(await pair({ lastEventId: expected[0]?.eventId ?? "" }, other), expected.slice(1));
    await expectSame(live, expected);
  });

  it("from after any event, in the middle of a record too", async () => {
    const random = seededRandom();
    const expected = await store(random);
    const inside = expected.flatMap(({ eventId }, i) => (eventId.includes(".") ? [i] : []));
    const anywhere = Array.from({ length: 10 }, () => Math.floor(random() * expected.length));
    for (const at of [0, ...inside.filter((_, i) => i % 7 === 0), ...anywhere]) {
      await expectSame(await pair({ lastEventId: expected[at]?.eventId ?? "" }), expected.slice(at + 1));
    }
  });

  it("across the moment at which replay becomes live, wherever it falls", async () => {
    const random = seededRandom();
    const expected = await store(random);
    const readers: { readers: [RawClient, RawClient]; from: number }[] = [];
    const coming = (async () => {
      for (let i = 0; i < 5; i++) {
        const from = Math.floor(random() * expected.length);
        readers.push({ readers: await pair({ lastEventId: expected[from]?.eventId ?? "" }), from });
      }
    })();
    for (let i = 0; i < 5; i++) expected.push(...(await store(random)));
    await coming;
    for (const { readers: each, from } of readers) await expectSame(each, expected.slice(from + 1));
  });
});
