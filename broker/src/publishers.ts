import type { ErrorCode } from "@kata/protocol/wire";
import { createPublisher, type Publisher, PublisherError } from "@kata/publisher";
import type { TeamSecrets } from "./auth/team-secrets.ts";
import type { EventInput } from "./event-input.ts";
import type { NatsConnection } from "./log/connect.ts";
import { StoreUnavailableError } from "./store/bucket.ts";

/** The publishers behind the HTTP API, one a team, over the broker's own connection. */
export class Publishers {
  readonly #connection: NatsConnection;
  readonly #publishTimeoutMs: number;
  readonly #secrets: TeamSecrets;
  readonly #byTeam = new Map<string, Promise<Publisher>>();

  constructor(connection: NatsConnection, publishTimeoutMs: number, secrets: TeamSecrets) {
    this.#connection = connection;
    this.#publishTimeoutMs = publishTimeoutMs;
    this.#secrets = secrets;
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
      publisher = this.#create(teamId);
      this.#byTeam.set(teamId, publisher);
      // A failed start is not remembered: the next request tries anew.
      publisher.catch(() => this.#byTeam.delete(teamId));
    }
    return publisher;
  }

  /** With the team's own secret, as every publisher that presents a key: the same idempotency key is the same event. */
  async #create(teamId: string): Promise<Publisher> {
    const idempotencySecret = await this.#secrets.secretOf(teamId);
    const publishTimeoutMs = this.#publishTimeoutMs;
    return await createPublisher({ connection: this.#connection, teamId, idempotencySecret, publishTimeoutMs });
  }
}

/** What a publisher's error is to an HTTP client; `undefined` for what is no publisher's error. */
export function publishErrorOf(error: unknown): { code: ErrorCode; message: string } | undefined {
  if (error instanceof StoreUnavailableError) return { code: "unavailable", message: error.message };
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
    case "key_taken":
      return { code: "taken", message: error.message };
    case "unauthenticated":
    case "rejected":
    case "aborted":
    case "spooled":
    case "spool_failed":
      // The broker's own standing with NATS, nothing the client could mend.
      return { code: "internal", message: "the log refused the events" };
  }
}
