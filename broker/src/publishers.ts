import { isDeepStrictEqual } from "node:util";
import { createPublisher, type Publisher, PublisherError } from "@kata/publisher";
import type { TeamSecrets } from "./auth/team-secrets.ts";
import { type EventInput, RECORD_BYTES } from "./event-input.ts";
import type { NatsConnection } from "./log/connect.ts";
import type { EventPublisher, Outcome, PublishFailure, Together } from "./server/publish-port.ts";
import { StoreUnavailableError } from "./store/bucket.ts";

/** The publishers behind the HTTP API, one a team, over the broker's own connection. */
export class Publishers {
  readonly #connection: NatsConnection;
  readonly #publishTimeoutMs: number;
  readonly #secrets: TeamSecrets;
  readonly #byTeam = new Map<string, Promise<Publisher>>();
  /** Publishes that their clients may repeat. */
  readonly #onTheirWay = new Map<
    string,
    { readonly events: readonly EventInput[]; readonly outcomes: Promise<readonly Outcome[]> }
  >();

  constructor(connection: NatsConnection, publishTimeoutMs: number, secrets: TeamSecrets) {
    this.#connection = connection;
    this.#publishTimeoutMs = publishTimeoutMs;
    this.#secrets = secrets;
  }

  /** The team's publisher. */
  async of(teamId: string): Promise<EventPublisher> {
    const publisher = await this.#of(teamId);
    return {
      publish: (channel, events, together) =>
        this.#again(teamId, channel, events, together, () => publish(publisher, channel, events, together)),
    };
  }

  async close(): Promise<void> {
    const publishers = await Promise.allSettled(this.#byTeam.values());
    await Promise.allSettled(publishers.map(async (each) => each.status === "fulfilled" && each.value.close()));
  }

  /**
   * An attempt that comes while an earlier one of the same publish is on its way here gets that one's outcome. Where NATS is away for
   * long, a copy for each attempt would fill the queue, and all would be sent when it is back.
   */
  #again(
    teamId: string,
    channel: string,
    events: readonly EventInput[],
    together: Together | undefined,
    first: () => Promise<readonly Outcome[]>,
  ): Promise<readonly Outcome[]> {
    if (together?.attempt === undefined) return first();
    const id = `${teamId} ${channel} ${together.attempt.publishId} ${together.idempotencyKey}`;
    const earlier = this.#onTheirWay.get(id);
    if (earlier !== undefined) return isDeepStrictEqual(earlier.events, events) ? earlier.outcomes : first();
    const outcomes = first().finally(() => this.#onTheirWay.delete(id));
    this.#onTheirWay.set(id, { events, outcomes });
    return outcomes;
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
    return await createPublisher({
      connection: this.#connection,
      teamId,
      idempotencySecret,
      publishTimeoutMs,
      maxRecordBytes: RECORD_BYTES,
    });
  }
}

/**
 * All of them are handed over in one go, so that they keep their order. Neighbours without a key of their own are accepted
 * together, and fail with the record that they are in; one that has a key travels, and can fail, alone.
 */
async function publish(
  publisher: Publisher,
  channel: string,
  events: readonly EventInput[],
  together: Together | undefined,
): Promise<readonly Outcome[]> {
  if (together !== undefined) return await all(publisher.publishMany(channel, events, together), events.length);
  const parts: Promise<readonly Outcome[]>[] = [];
  for (let at = 0; at < events.length; ) {
    const event = events[at] as EventInput;
    let end = at + 1;
    if (event.idempotencyKey === undefined) {
      while (end < events.length && events[end]?.idempotencyKey === undefined) end++;
      parts.push(all(publisher.publishEach(channel, events.slice(at, end)), end - at));
    } else parts.push(one(publisher.publish(channel, event)));
    at = end;
  }
  return (await Promise.all(parts)).flat();
}

async function one(result: Promise<Outcome>): Promise<readonly Outcome[]> {
  return [await result.catch((error: unknown) => ({ error }))];
}

async function all(results: Promise<readonly Outcome[]>, count: number): Promise<readonly Outcome[]> {
  return await results.catch((error: unknown) => Array<Outcome>(count).fill({ error }));
}

/** What a publisher's error is to an HTTP client; `undefined` for what is no publisher's error. */
export function publishErrorOf(error: unknown): PublishFailure | undefined {
  if (error instanceof StoreUnavailableError) return { code: "unavailable", message: error.message };
  if (!(error instanceof PublisherError)) return undefined;
  const { code, message, stored } = error;
  // The log may have it, whatever was said of a later attempt: only as `unavailable` is that what the client is told [HTTP-3]. That something
  // else stands under the key is so whenever it is sent again.
  if (stored === "unknown" && code !== "key_taken") return { code: "unavailable", message };
  switch (code) {
    case "invalid_channel":
    case "invalid_event":
    case "too_large":
    case "forbidden":
      return { code, message };
    case "queue_full":
      return { code: "unavailable", message, full: true };
    case "unavailable":
    case "closed":
    case "aborted":
    case "spooled":
    case "spool_failed":
      return { code: "unavailable", message };
    case "key_taken":
      return { code: "taken", message };
    case "unauthenticated":
    case "rejected":
      // The broker's own standing with NATS, nothing the client could mend.
      return { code: "internal", message: "the log refused the events" };
  }
}
