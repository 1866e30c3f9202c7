import type { Publisher } from "@kata/publisher";
import { describe, expect, test, vi } from "vitest";
import { REPEAT } from "../support/random.ts";
import { readLog } from "../support/stream.ts";
import { type Counts, expectTold, type Outcomes, publishOn } from "./outcomes.ts";
import { createRig, type Rig, WAYS } from "./rig.ts";

const CHANNELS = ["agent:a1", "agent:b1", "spec:s1"];
const KILLS = 3 * REPEAT;
const TIMEOUT_MS = 120_000 * REPEAT;
const WAIT = { timeout: 30_000, interval: 1 };

async function progress(publisher: Publisher, events: number): Promise<void> {
  const { published } = publisher.stats;
  await vi.waitFor(() => expect(publisher.stats.published).toBeGreaterThanOrEqual(published + events), WAIT);
}

/** Stops the loads and holds what was told against the log. */
async function told(rig: Rig, loads: readonly Outcomes[]): Promise<Counts[]> {
  await Promise.all(loads.map((load) => load.stop()));
  const counts: Counts[] = [];
  for (const load of loads) {
    // Over a connection of its own: the rig's may still be on its way back to a server that was started again.
    counts.push(expectTold(load, await readLog(rig.nats.url, `kata.team.t1.${load.channel.replace(":", ".")}`)));
  }
  return counts;
}

describe.each(WAYS)("nats-server is killed under load, over %s: what publishers were told is true", (way) => {
  test("while the queue is full: what it took is stored once, in order; what it refused is not", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ maxQueueBytes: 6_000, maxRecordEvents: 5, publishTimeoutMs: Infinity });
    const loads = CHANNELS.map((channel) => publishOn(publisher, channel, 30));
    const refused = (): number => loads.reduce((sum, load) => sum + load.rejected("queue_full", "no"), 0);
    for (let kills = 0; kills < KILLS; kills++) {
      await progress(publisher, 300);
      await vi.waitFor(() => expect(refused()).toBeGreaterThan(0), WAIT);
      await rig.nats.kill();
      const before = refused();
      await vi.waitFor(() => expect(refused()).toBeGreaterThan(before + 500), WAIT);
      await rig.nats.start();
    }
    await progress(publisher, 300);
    for (const { unknown } of await told(rig, loads)) expect(unknown).toBe(0);
  });

  test("for longer than events are tried: the rejected ones are absent, or were reported as unknown", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await using rig = await createRig({ way });
    const publisher = await rig.publisher({ maxRecordEvents: 5, publishTimeoutMs: 200, ackTimeoutMs: 100 });
    const loads = CHANNELS.map((channel) => publishOn(publisher, channel, 30));
    const rejected = (stored: "no" | "unknown"): number =>
      loads.reduce((sum, load) => sum + load.rejected("unavailable", stored), 0);
    for (let kills = 0; kills < KILLS; kills++) {
      await progress(publisher, 300);
      const before = [rejected("no"), rejected("unknown")] as const;
      await rig.nats.kill();
      await vi.waitFor(() => expect(rejected("no")).toBeGreaterThan(before[0] + 60), WAIT);
      // What was on its way when it died.
      expect(rejected("unknown")).toBeGreaterThan(before[1]);
      await rig.nats.start();
    }
    await progress(publisher, 300);
    const counts = await told(rig, loads);
    expect(counts.reduce((sum, { stored }) => sum + stored, 0)).toBe(publisher.stats.published);
  });
});
