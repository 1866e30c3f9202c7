import { createPublisher, type PublisherOptions } from "@kata/publisher";
import { describe, expect, test, vi } from "vitest";
import { type ClusterServer, type NatsCluster, startNatsCluster } from "../support/nats-cluster.ts";
import { REPEAT } from "../support/random.ts";
import { readLog } from "../support/stream.ts";
import { type Counts, expectTold, publishOn } from "./outcomes.ts";
import { TEAM } from "./rig.ts";

const CHANNELS = ["agent:a1", "agent:b1", "spec:s1"];
const TIMEOUT_MS = 240_000 * REPEAT;

/** Resolves when so many more events are in the log than now. */
type Progress = (events: number) => Promise<void>;

/** What became of events on three channels, in small records, through a publisher that knows all three servers, while `fault` runs. */
async function underLoad(
  cluster: NatsCluster,
  options: Partial<PublisherOptions>,
  fault: (progress: Progress) => Promise<void>,
): Promise<Counts[]> {
  await using publisher = await createPublisher({
    servers: cluster.servers.map(({ url }) => url),
    teamId: TEAM,
    ackTimeoutMs: 500,
    maxRecordEvents: 10,
    ...options,
  });
  const loads = CHANNELS.map((channel) => publishOn(publisher, channel, 30));
  await fault(async (events) => {
    const { published } = publisher.stats;
    await vi.waitFor(() => expect(publisher.stats.published).toBeGreaterThanOrEqual(published + events), {
      timeout: 60_000,
      interval: 1,
    });
  });
  await Promise.all(loads.map((load) => load.stop()));
  // From the leader: it has whatever was acknowledged.
  const leader = await cluster.current();
  const counts: Counts[] = [];
  for (const load of loads) {
    const subject = `kata.team.${TEAM}.${load.channel.replace(":", ".")}`;
    // A server that was just started may not hear of the others' answers at once.
    const log = await vi.waitFor(() => readLog(leader.url, subject), { timeout: 30_000 });
    counts.push(expectTold(load, log));
  }
  return counts;
}

/** Kills a server and starts it again, each after some progress without it; then it is given the time to catch up. */
async function killAndStart(cluster: NatsCluster, server: ClusterServer, progress: Progress): Promise<void> {
  await server.kill();
  await progress(300);
  await server.start();
  await cluster.current();
  await progress(300);
}

function expectAllStored(counts: readonly Counts[]): void {
  for (const { no, unknown } of counts) expect({ no, unknown }).toEqual({ no: 0, unknown: 0 });
}

describe("a cluster of three, under load: every event once, in order, where its publish said, when", () => {
  test("the stream's leader steps down again and again", { timeout: TIMEOUT_MS }, async () => {
    await using cluster = await startNatsCluster();
    const led = new Set<string>();
    const counts = await underLoad(cluster, { publishTimeoutMs: Infinity }, async (progress) => {
      for (let moves = 0; moves < 8 * REPEAT; moves++) {
        await progress(500);
        led.add((await cluster.stepDown()).name);
      }
      await progress(500);
    });
    expectAllStored(counts);
    expect(led.size).toBeGreaterThan(1);
  });

  test("the leader is killed and started again", { timeout: TIMEOUT_MS }, async () => {
    await using cluster = await startNatsCluster();
    const counts = await underLoad(cluster, { publishTimeoutMs: Infinity }, async (progress) => {
      for (let kills = 0; kills < 2 * REPEAT; kills++) {
        await progress(500);
        await killAndStart(cluster, await cluster.leader(), progress);
      }
    });
    expectAllStored(counts);
  });

  test("the server is killed that the publisher is connected to", { timeout: TIMEOUT_MS }, async () => {
    await using cluster = await startNatsCluster();
    const counts = await underLoad(cluster, { publishTimeoutMs: Infinity }, async (progress) => {
      for (let kills = 0; kills < 2 * REPEAT; kills++) {
        await progress(500);
        await killAndStart(cluster, await cluster.connectedTo("kata-publisher"), progress);
      }
    });
    expectAllStored(counts);
  });

  test("there is no leader for longer than events are tried: those are rejected, and what that says is true", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await using cluster = await startNatsCluster();
    const counts = await underLoad(cluster, { publishTimeoutMs: 400, ackTimeoutMs: 100 }, async (progress) => {
      for (let kills = 0; kills < 2 * REPEAT; kills++) {
        await progress(500);
        await killAndStart(cluster, await cluster.leader(), progress);
      }
    });
    expect(counts.some(({ no, unknown }) => no > 0 && unknown > 0)).toBe(true);
  });
});
