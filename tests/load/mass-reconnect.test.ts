import { setTimeout as rest } from "node:timers/promises";
import { createPublisher, type Publisher } from "@kata/publisher";
import { describe, expect, it } from "vitest";
import { type BrokerProcess, spawnBroker, TEST_TEAM } from "../support/broker.ts";
import { type Herd, startHerd } from "../support/herd.ts";
import { startNats } from "../support/nats.ts";
import { type NatsProxy, startNatsProxy } from "../support/nats-proxy.ts";
import { numberedEvent } from "../support/numbered-event.ts";
import { watchMemory } from "../support/process-usage.ts";

const CONNECTIONS = 5_000;
const CHANNELS = Array.from({ length: 50 }, (_, i) => `agent:mass-${i}`);
const MISSED = 100;
/** Between events that are published while they come back, milliseconds. */
const PAUSE_MS = 20;
const EVENT_BYTES = 230;
/** All that can be asked of JetStream begins so; then: records and pages, the leader's word for a record, the stream's state. */
const JETSTREAM_API = "$JS.API.";
const KINDS = ["DIRECT.GET", "STREAM.MSG.GET", "STREAM.INFO"];

interface Rig {
  readonly broker: BrokerProcess;
  readonly herd: Herd;
  readonly nats: NatsProxy;
  /** Publishes events `[from, from + count)` on every channel, each a record of its own. */
  readonly publish: (from: number, count: number) => Promise<void>;
}

describe(`attacks invariant 5: ${CONNECTIONS} connections on ${CHANNELS.length} channels come back at once; NATS is asked by channel`, () => {
  const timeout = 120_000;

  it("(a) to a broker that stayed up, all from the same place", { timeout }, async () => {
    await withRig(async (rig) => {
      await leaveTogether(rig);
      // Memory has it all.
      await comeBack(rig, "memory", 0);
    });
  });

  it("(b) to a broker that was started anew and knows nothing, all from the same place", { timeout }, async () => {
    await withRig(async (rig) => {
      await leaveTogether(rig);
      await startAnew(rig.broker);
      await comeBack(rig, "cold, one place", 5);
    });
  });

  it("(c) to a broker that was started anew and knows nothing, from a hundred places", { timeout }, async () => {
    await withRig(async (rig) => {
      await leaveOneByOne(rig);
      await startAnew(rig.broker);
      await comeBack(rig, "cold, a hundred places", 5);
    });
  });
});

async function withRig(test: (rig: Rig) => Promise<void>): Promise<void> {
  await using server = await startNats();
  await using nats = await startNatsProxy({ port: server.port });
  // The audit asks by channel, too, but when it likes.
  await using broker = await spawnBroker({ nats, env: { KATA_AUDIT_INTERVAL_MS: "3600000" } });
  // Past the proxy, which counts what the broker asks.
  await using publisher = await createPublisher({ servers: server.url, teamId: TEST_TEAM });
  const channels = Array.from({ length: CONNECTIONS }, (_, i) => CHANNELS[i % CHANNELS.length] as string);
  await using herd = await startHerd({ port: broker.port, apiKey: broker.apiKey, protocol: "kata.v1", channels });
  await herd.subscribe();
  await test({ broker, herd, nats, publish: (from, count) => publishEach(publisher, from, count) });
}

/** Everybody has event 0 and misses the next hundred. */
async function leaveTogether({ herd, publish }: Rig): Promise<void> {
  await publish(0, 1);
  await herd.reached(1);
  await herd.cut();
  await publish(1, MISSED);
}

/** Of a channel's hundred readers each leaves at another event of the hundred: behind the first, the second … */
async function leaveOneByOne({ herd, publish }: Rig): Promise<void> {
  const places = Array.from({ length: CONNECTIONS }, (_, i) => 1 + (Math.floor(i / CHANNELS.length) % MISSED));
  const left = herd.cutAt(places);
  await publish(0, 1 + MISSED);
  await left;
}

async function startAnew(broker: BrokerProcess): Promise<void> {
  await broker.kill();
  await broker.start();
}

async function comeBack({ broker, herd, nats, publish }: Rig, form: string, requestsAChannel: number): Promise<void> {
  const memory = watchMemory(broker.pid);
  nats.resetPublished();
  const started = performance.now();
  let events = 1 + MISSED;
  let back = false;
  const comingBack = herd.comeBack().finally(() => {
    back = true;
  });
  // Some fall between a reader's history and its live events: one that is lost there, or comes twice, is seen.
  while (!back) {
    await publish(events++, 1);
    await rest(PAUSE_MS);
  }
  await comingBack;
  await herd.reached(events);
  const seconds = (performance.now() - started) / 1_000;
  const requests = nats.published(JETSTREAM_API);
  const kinds = KINDS.map((kind) => `${nats.published(JETSTREAM_API + kind)} ${kind}`).join(", ");
  const peak = await memory.stop();
  // One more, live: that everybody is due for this one says that nothing came twice, and that all have joined.
  await publish(events, 1);
  await herd.reached(events + 1);

  console.info(
    `${form}: the last one whole, ${events} events each, ${seconds.toFixed(2)} s after the first came; ${requests} requests (${kinds}) ` +
      `for ${CHANNELS.length} channels; the broker's memory at most ${Math.round(peak / 1e6)} MB`,
  );
  const whole = { open: CONNECTIONS, events: CONNECTIONS * (events + 1), wrong: 0, gaps: 0, closes: {} };
  expect(await herd.status()).toMatchObject(whole);
  expect(requests).toBeLessThanOrEqual(requestsAChannel * CHANNELS.length);
}

async function publishEach(publisher: Publisher, from: number, count: number): Promise<void> {
  for (let number = from; number < from + count; number++) {
    await Promise.all(CHANNELS.map((channel) => publisher.publish(channel, numberedEvent(number, EVENT_BYTES))));
  }
}
