import { createPublisher } from "@kata/publisher";
import { expect } from "vitest";
import { caughtUp, clientOf } from "../client/setup.ts";
import { startBroker, type TestBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { type Random, seededRandom } from "../support/random.ts";
import type { RawClient } from "../support/raw-client.ts";
import { startLoad } from "./load.ts";
import { expectExactly, NDJSON, openLiveReader, openReader, PATIENCE, V1 } from "./readers.ts";

const CHANNELS = ["team:demo", "agent:build", "agent:deploy", "spec:search"] as const;

/** What a fault has to work with. */
export interface Scene {
  readonly nats: TestNats;
  readonly broker: TestBroker;
  readonly random: Random;
  /** Resolves once so many further events were acknowledged on every channel. */
  more(count: number): Promise<void>;
  /** One more reader, from the beginning. */
  comeLate(): Promise<void>;
}

/**
 * Runs a fault while two publishers fill four channels at full speed, then holds what every reader got against what was
 * acknowledged: sockets of both kinds of frames, those that came late, and a client of the SDK on all channels. All of
 * them must still be on the connection that they came with.
 */
export async function underLoad(fault: (scene: Scene) => Promise<void>): Promise<void> {
  const random = seededRandom();
  await using nats = await startNats();
  await using broker = await startBroker({ nats, config: { natsTimeoutMs: 1_000, publishTimeoutMs: 1_000 } });
  const readers: { channel: string; socket: RawClient }[] = [];
  for (const channel of CHANNELS) {
    for (const protocols of [V1, NDJSON]) {
      readers.push({ channel, socket: await openLiveReader(broker, channel, { protocols }) });
    }
  }
  const client = await connectedClient(broker);
  await using first = await createPublisher({ servers: nats.url, teamId: broker.teamId });
  await using second = await createPublisher({ servers: nats.url, teamId: broker.teamId });
  const loads = CHANNELS.map((channel, i) => startLoad(i % 2 === 0 ? first : second, channel, random));

  let late = 0;
  await fault({
    nats,
    broker,
    random,
    more: async (count) => void (await Promise.all(loads.map((load) => load.reaches(load.acked.length + count)))),
    comeLate: async () => {
      const channel = CHANNELS[late++ % CHANNELS.length] as string;
      readers.push({ channel, socket: await openReader(broker, channel, { protocols: NDJSON, rewind: "all" }) });
    },
  });
  await Promise.all(loads.map((load) => load.stop()));

  const acked = new Map<string, readonly string[]>(loads.map((load) => [load.channel, load.acked]));
  for (const { channel, socket } of readers) {
    await expectExactly(socket, channel, acked.get(channel) ?? []);
    await socket[Symbol.asyncDispose]();
  }
  await client.expectExactly(acked);
}

/** A client of the SDK that is live on all channels. */
async function connectedClient(broker: TestBroker) {
  const client = clientOf(broker);
  const handed = new Map<string, string[]>(CHANNELS.map((channel) => [channel, []]));
  const gaps: unknown[] = [];
  client.on("gap", (gap) => gaps.push(gap));
  const live = CHANNELS.map((channel) => caughtUp(client, channel));
  for (const [channel, ids] of handed) client.subscribe(channel, ({ eventId }) => void ids.push(eventId));
  await client.connect();
  await Promise.all(live);
  return {
    async expectExactly(acked: ReadonlyMap<string, readonly string[]>) {
      for (const [channel, ids] of handed) {
        await expect.poll(() => ids.at(-1), PATIENCE).toBe(acked.get(channel)?.at(-1));
        expect(ids).toEqual(acked.get(channel));
      }
      expect(gaps).toEqual([]);
      expect(client.stats).toMatchObject({ connections: 1, repeats: 0 });
    },
  };
}
