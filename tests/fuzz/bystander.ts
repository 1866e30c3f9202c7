import { createPublisher } from "@kata/publisher";
import { createRealtimeClient } from "@kata/realtime-client";
import { expect } from "vitest";
import { WebSocket } from "ws";
import type { TestBroker } from "../support/broker.ts";

/** Between two events, milliseconds. */
const PACE_MS = 20;

export interface Bystander {
  /** Stops publishing, and looks at what the client was handed. @throws AssertionError if it noticed anything */
  leave(): Promise<void>;
}

/** A well-behaved client of one channel, and a publisher that writes there at a steady pace on its own connection. */
export async function startBystander(broker: TestBroker, natsUrl: string, channel: string): Promise<Bystander> {
  const publisher = await createPublisher({ servers: natsUrl, teamId: broker.teamId });
  const client = createRealtimeClient({ url: broker.httpUrl, apiKey: broker.apiKey, WebSocket });
  const handed: string[] = [];
  const noticed: unknown[] = [];
  client.on("error", (error) => noticed.push(error));
  client.on("gap", (gap) => noticed.push(gap));
  await client.connect();
  client.on("state", (change) => noticed.push(change));
  await new Promise<void>((resolve) => {
    client.on("subscription", (change) => {
      if (change.status === "caught_up") resolve();
      else if (change.status === "unsubscribed") noticed.push(change);
    });
    client.subscribe(channel, (event) => void handed.push(event.eventId));
  });
  const published: Promise<string>[] = [];
  const publishing = setInterval(() => {
    const payload = { message: String(published.length) };
    const stored = publisher.publish(channel, { type: "log_entry", payload }).then((result) => result.eventId);
    // Looked at when it is over; until then it is nobody's.
    stored.catch(() => undefined);
    published.push(stored);
  }, PACE_MS);
  return {
    async leave() {
      clearInterval(publishing);
      const eventIds = await Promise.all(published);
      try {
        await expect.poll(() => handed.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(eventIds.length);
        expect(handed).toEqual(eventIds);
        expect(eventIds.length).toBeGreaterThan(0);
        expect(noticed).toEqual([]);
        expect(client.stats).toMatchObject({ connections: 1, repeats: 0, gaps: 0 });
      } finally {
        client.close();
        await publisher.close();
      }
    },
  };
}
