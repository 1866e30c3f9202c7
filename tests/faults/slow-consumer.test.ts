import { createPublisher } from "@kata/publisher";
import type { NatsConnection } from "@nats-io/transport-node";
import { expect, it } from "vitest";
import { caughtUp, clientOf, collect, entry, numbers } from "../client/setup.ts";
import { startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { startNatsProxy } from "../support/nats-proxy.ts";
import { expectExactly, NDJSON, openLiveReader, PATIENCE, V1 } from "./readers.ts";

/** What nats-server keeps for a connection before it gives it up (`max_pending`). */
const PENDING_LIMIT = 64 * 1024 * 1024;
/** Near to the most that an event can have [EVENT-5]. */
const TEXT = "x".repeat(500_000);
/** Twice as many as NATS keeps: the rest is what the systems between keep. */
const LARGE = Math.ceil((2 * PENDING_LIMIT) / TEXT.length);

const BUSY = ["team:demo", "agent:build"] as const;
const QUIET = "agent:quiet";

/** How many connections nats-server has called slow consumers so far; every account may ask that about its own. */
async function slowConsumers(nc: NatsConnection): Promise<number> {
  const answer = await nc.request("$SYS.REQ.ACCOUNT.PING.STATZ", "");
  return (
    answer.json<{ data: { account_statz: { slow_consumers: number }[] } }>().data.account_statz[0]?.slow_consumers ?? 0
  );
}

it("attacks invariants 1 and 3: NATS cuts the broker off as a slow consumer; every channel repairs itself, every event once, in order", async () => {
  await using nats = await startNats();
  await using proxy = await startNatsProxy(nats);
  // Without audits: the reconnect alone must repair.
  await using broker = await startBroker({ nats: proxy, config: { auditIntervalMs: 3_600_000 } });
  await using publisher = await createPublisher({ servers: nats.url, teamId: broker.teamId });
  await using nc = await connectNats(nats.url);
  await using first = await openLiveReader(broker, BUSY[0], { protocols: NDJSON });
  await using second = await openLiveReader(broker, BUSY[1], { protocols: V1 });
  const client = clientOf(broker);
  const live = caughtUp(client, QUIET);
  const handed = collect(client, QUIET);
  await client.connect();
  await live;

  const publish = async (channel: string, message: string, text = "") =>
    (await publisher.publish(channel, { type: "log_entry", payload: { message, text } })).eventId;
  const ids = new Map<string, string[]>(BUSY.map((channel) => [channel, []]));
  for (const channel of BUSY) ids.get(channel)?.push(await publish(channel, "before"));
  await publish(QUIET, "1");
  await handed.reaches(1);

  proxy.pause();
  for (let i = 0; i < LARGE; i++) {
    const channel = BUSY[i % 2] as string;
    ids.get(channel)?.push(await publish(channel, `${i}`, TEXT));
    // Small ones on both sides of the cut.
    if (i % 20 === 0) await publisher.publish(QUIET, entry(String(2 + i / 20)));
  }
  await expect.poll(() => slowConsumers(nc), PATIENCE).toBe(1);
  proxy.resume();

  await expectExactly(first, BUSY[0], ids.get(BUSY[0]) ?? []);
  await expectExactly(second, BUSY[1], ids.get(BUSY[1]) ?? []);
  const quiet = 1 + Math.ceil(LARGE / 20);
  await handed.reaches(quiet);
  expect(handed.log).toEqual(numbers(quiet));
  expect(client.stats).toMatchObject({ connections: 1, gaps: 0 });
  // Once cut off, once back.
  expect(proxy.connections).toBe(2);
}, 60_000);
