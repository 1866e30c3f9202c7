import { createPublisher, type Publisher } from "@kata/publisher";
import { describe, expect, it } from "vitest";
import { spawnBroker, TEST_TEAM } from "../support/broker.ts";
import { type Herd, startHerd } from "../support/herd.ts";
import { startNats } from "../support/nats.ts";
import { numberedEvent } from "../support/numbered-event.ts";
import { watchMemory } from "../support/process-usage.ts";

const LONG = process.env.KATA_TEST_LONG === "1";
const MB = 1_000_000;
const CHANNEL = "agent:busy";
const EVENT_BYTES = 2_000;
const BURST = 50;
/** Events on their way to the slowest of those that read: few enough that none of them falls behind. */
const WINDOW = 250;
const READERS = 99;
const WARM_UP = events(LONG ? 200 * MB : 60 * MB);
const PUBLISHED = events(LONG ? 500 * MB : 60 * MB);
/** What may be added by one reader that stands still, however much is published. */
const GROWTH = (LONG ? 64 : 32) * MB;

function events(bytes: number): number {
  return bytes / EVENT_BYTES;
}

describe("attacks invariant 4: a slow reader costs bounded memory, slows nobody, loses nothing, is not sent away", () => {
  it(`one of 100 stands still while ${(PUBLISHED * EVENT_BYTES) / MB} MB are published; then it reads`, {
    timeout: LONG ? 600_000 : 120_000,
  }, async () => {
    await using nats = await startNats();
    // It stands still for as long as the others need, which is the machine's business: no timer is to end it.
    const env = { WS_HEARTBEAT_TIMEOUT_MS: "3600000", WS_STALL_TIMEOUT_MS: "3600000" };
    await using broker = await spawnBroker({ nats, env });
    await using publisher = await createPublisher({ servers: nats.url, teamId: TEST_TEAM });
    const plan = { port: broker.port, apiKey: broker.apiKey, protocol: "kata.v1" } as const;
    await using reading = await startHerd({ ...plan, channels: Array.from({ length: READERS }, () => CHANNEL) });
    await reading.subscribe();

    // The baseline: the most that this very process held while it delivered the same events at the same pace to the same 99 readers
    // and a hundredth that reads. What delivering costs is all in it (code, heap, ring, sockets' buffers); what comes
    // on top in the second half, which differs in that one reader only, is what that reader costs.
    const before = watchMemory(broker.pid);
    {
      await using hundredth = await startHerd({ ...plan, channels: [CHANNEL] });
      await hundredth.subscribe();
      await publish(publisher, reading, 0, WARM_UP);
      await hundredth.reached(WARM_UP);
    }
    const baseline = await before.stop();

    // A new connection: for one that has read much before, the system itself would keep up to 32 MiB (tcp_rmem).
    await using slow = await startHerd({ ...plan, channels: [CHANNEL] });
    await slow.subscribe({ next: WARM_UP });
    await slow.pause(0);
    const during = watchMemory(broker.pid);
    await publish(publisher, reading, WARM_UP, PUBLISHED);
    const peak = await during.stop();
    const others = await reading.status();
    const stood = await slow.status();

    await slow.resume(0);
    await slow.reached(PUBLISHED);
    // One more: that everybody is due for this one says that nothing came twice.
    await publish(publisher, reading, WARM_UP + PUBLISHED, 1);
    await slow.reached(PUBLISHED + 1);

    console.info(
      `resident: ${mb(baseline)} MB with all reading, ${mb(peak)} MB with one that stands still, then catches up`,
    );
    expect(stood).toMatchObject({ events: 0, closes: {} });
    const whole = { wrong: 0, gaps: 0, closes: {} };
    expect(others).toMatchObject({ ...whole, open: READERS, fewest: WARM_UP + PUBLISHED, most: WARM_UP + PUBLISHED });
    expect(await reading.status()).toMatchObject({ ...whole, events: READERS * (WARM_UP + PUBLISHED + 1) });
    expect(await slow.status()).toMatchObject({ ...whole, open: 1, events: PUBLISHED + 1 });
    expect(peak - baseline).toBeLessThanOrEqual(GROWTH);
  });
});

/** Publishes events `[from, from + count)` as fast as the readers of `herd` take them, and waits until each has. */
async function publish(publisher: Publisher, herd: Herd, from: number, count: number): Promise<void> {
  const settled: Promise<unknown>[] = [];
  for (let i = 0; i < count; i += BURST) {
    await herd.reached(from + i + BURST - WINDOW);
    const burst = Array.from({ length: Math.min(BURST, count - i) }, (_, j) =>
      numberedEvent(from + i + j, EVENT_BYTES),
    );
    settled.push(publisher.publishMany(CHANNEL, burst));
  }
  await Promise.all(settled);
  await herd.reached(from + count);
}

function mb(bytes: number): string {
  return (bytes / MB).toFixed(1);
}
