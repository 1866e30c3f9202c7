import { setTimeout as rest } from "node:timers/promises";
import { createPublisher } from "@kata/publisher";
import { createRealtimeClient, type KataEvent } from "@kata/realtime-client";
import { describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { spawnBroker, TEST_TEAM } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { startProxy } from "../support/proxy.ts";
import { REPEAT, seededRandom } from "../support/random.ts";

const EVENTS = 20_000;
const CUTS = 20;
const CHANNEL = "agent:build";

describe("attacks invariants 1, 2 and 3: nothing lost while away", () => {
  // The long form (KATA_TEST_REPEAT=10) is `npm run test:long`.
  it.each(Array.from({ length: REPEAT }, (_, i) => i + 1))(
    "a client cut 20 times and a broker killed once, under full-speed publishing: every acknowledged event once, in order (%i)",
    { timeout: 120_000 },
    async () => {
      const random = seededRandom();
      await using nats = await startNats();
      await using broker = await spawnBroker({ nats });
      await using proxy = await startProxy({ port: broker.port });
      const publisher = await createPublisher({ servers: nats.url, teamId: TEST_TEAM });
      const client = createRealtimeClient({
        url: `ws://127.0.0.1:${proxy.port}`,
        apiKey: broker.apiKey,
        backoff: { minMs: 5, maxMs: 100 },
        WebSocket,
      });
      const handed: KataEvent[] = [];
      const gaps: unknown[] = [];
      let connects = 0;
      client.on("gap", (gap) => gaps.push(gap));
      client.on("state", ({ status }) => {
        if (status === "connected") connects++;
      });
      client.subscribe(CHANNEL, (event) => {
        handed.push(event);
      });
      await client.connect();
      await expect.poll(() => client.position(CHANNEL), { interval: 5 }).toBeDefined();

      let chaosDone = false;
      let cuts = 0;
      const chaos = (async () => {
        const killAfter = Math.floor(random() * CUTS);
        let restart: Promise<void> | undefined;
        while (cuts < CUTS) {
          await rest(random() * 150);
          if (restart === undefined && cuts === killAfter) {
            await broker.kill();
            restart = broker.start();
          }
          if (client.status === "connected" && proxy.cut() > 0) cuts++;
        }
        await restart;
      })().finally(() => {
        chaosDone = true;
      });
      chaos.catch(() => undefined);
      const acked: string[] = [];
      // Records of one to eight events: so the cuts and the kill fall between records and inside them.
      while (acked.length < EVENTS || !chaosDone) {
        const burst = Array.from({ length: 1 + Math.floor(random() * 8) }, (_, i) => {
          return { type: "log_entry", payload: { message: `${acked.length + i}` } } as const;
        });
        for (const { eventId } of await publisher.publishMany(CHANNEL, burst)) acked.push(eventId);
      }
      await chaos;
      await expect.poll(() => handed.length, { timeout: 30_000 }).toBeGreaterThanOrEqual(acked.length);
      client.close();
      await publisher.close();

      expect(handed.map((event) => event.eventId)).toEqual(acked);
      expect(handed.map((event) => (event.payload as { message: string }).message)).toEqual(
        acked.map((_, i) => `${i}`),
      );
      expect(gaps).toEqual([]);
      expect(cuts).toBe(CUTS);
      // Each cut, the kill, and the first one; attempts that were refused meanwhile are not connections.
      expect(connects).toBeGreaterThanOrEqual(CUTS + 1);
      expect(connects).toBeLessThanOrEqual(CUTS + 2);
    },
  );
});
