import type { ErrorCode } from "@kata/protocol/wire";
import { createPublisher, type Publisher, PublisherError } from "@kata/publisher";
import type { EventInput } from "./event-input.ts";
import type { NatsConnection } from "./log/connect.ts";

/** The publishers behind the HTTP API, one a team, over the broker's own connection. */
export class Publishers {
  readonly #connection: NatsConnection;
  readonly #publishTimeoutMs: number;
  readonly #byTeam = new Map<string, Promise<Publisher>>();

  constructor(connection: NatsConnection, publishTimeoutMs: number) {
    this.#connection = connection;
    this.#publishTimeoutMs = publishTimeoutMs;
  }

  /** Stores events of one channel in order and gives their eventIds. */
  async publish(teamId: string, channel: string, events: readonly EventInput[]): Promise<string[]> {
    const publisher = await this.#of(teamId);
    const results = await publisher.publishMany(channel, events);
    return results.map((result) => result.eventId);
  }

  async close(): Promise<void> {
    const publishers = await Promise.allSettled(this.#byTeam.values());
    await Promise.allSettled(publishers.map(async (each) => each.status === "fulfilled" && each.value.close()));
  }

  #of(teamId: string): Promise<Publisher> {
    let publisher = this.#byTeam.get(teamId);
    if (publisher === undefined) {
      publisher = createPublisher({ connection: this.#connection, teamId, publishTimeoutMs: this.#publishTimeoutMs });
      this.#byTeam.set(teamId, publisher);
      // A failed start is not remembered: the next request tries anew.
      publisher.catch(() => this.#byTeam.delete(teamId));
    }
    return publisher;
  }
}

/** What a publisher's error is to an HTTP client; `undefined` for what is no publisher's error. */
export function publishErrorOf(error: unknown): { code: ErrorCode; message: string } | undefined {
  if (!(error instanceof PublisherError)) return undefined;
  switch (error.code) {
    case "invalid_channel":
    case "invalid_event":
    case "too_large":
    case "forbidden":
      return { code: error.code, message: error.message };
    case "unavailable":
    case "queue_full":
    case "closed":
      return { code: "unavailable", message: error.message };
    case "unauthenticated":
    case "rejected":
      // The broker's own standing with NATS, nothing the client could mend.
      return { code: "internal", message: "the log refused the events" };
  }
}
