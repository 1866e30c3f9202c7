import { createPublisher } from "@kata/publisher";
import type { StreamConfig } from "@nats-io/jetstream";
import { startBroker, type TestBrokerOptions } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { ensureTestStream, readLog } from "../support/stream.ts";

/** NATS with a stream that forgets soon, and a broker that audits much more often than that. */
export async function startForgetful(limits: Partial<StreamConfig>, config: TestBrokerOptions["config"] = {}) {
  const nats = await startNats();
  await ensureTestStream(nats.url, limits);
  const broker = await startBroker({ nats, config: { auditIntervalMs: 50, ...config } });
  const publisher = await createPublisher({ servers: nats.url, teamId: broker.teamId });
  return {
    nats,
    broker,
    publisher,
    /** Stores so many events of so many bytes, each as a record of its own; returns their eventIds. */
    async fill(channel: string, count: number, bytes: number): Promise<string[]> {
      const ids: string[] = [];
      for (let i = 0; i < count; i++) {
        const event = { type: "log_entry", payload: { message: "busy", text: "x".repeat(bytes) } } as const;
        ids.push((await publisher.publish(channel, event)).eventId);
      }
      return ids;
    },
    /** The eventIds of a subject's events that still exist. */
    async left(subject: string): Promise<string[]> {
      return (await readLog(nats.url, subject)).flatMap((record) => record.eventIds);
    },
    async [Symbol.asyncDispose]() {
      await publisher.close();
      await broker.close();
      await nats[Symbol.asyncDispose]();
    },
  };
}
