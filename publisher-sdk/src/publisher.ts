import type { NatsConnection } from "@nats-io/transport-node";
import { BrokerReader } from "./broker-reader.ts";
import { connectTo } from "./connection.ts";
import { PublisherError } from "./errors.ts";
import type { EventInput } from "./event.ts";
import { askAbout, teamOf } from "./identity.ts";
import { JetStreamReader } from "./jetstream-reader.ts";
import { NatsPublisher } from "./nats-publisher.ts";
import { type GivenSettings, type PublisherOptions, settingsOf } from "./options.ts";
import type { PublishResult } from "./record.ts";

export interface Publisher extends AsyncDisposable {
  /**
   * Resolves when the log has the event. Events of a channel are stored in the order of the calls. Rejects with a
   * {@link PublisherError}; it never throws.
   */
  publish(channel: string, event: EventInput): Promise<PublishResult>;
  /**
   * The same for several events of a channel, accepted all or none. Rejects if any of them is rejected; the others
   * can have been stored then.
   */
  publishMany(channel: string, events: readonly EventInput[]): Promise<PublishResult[]>;
  /** Resolves when everything accepted so far is settled, one way or the other. */
  flush(): Promise<void>;
  /**
   * Takes nothing more, waits up to `closeTimeoutMs` until the rest is settled, then rejects what is left and closes the
   * connection if it is its own. Rejects with `unavailable` if something was left.
   */
  close(): Promise<void>;
}

/**
 * Connects to NATS and resolves when it is connected. With an `apiKey`, brokers say what else there is to know: the team
 * and what its message ids are made with. A stream that is not there yet, or has no leader, is waited for by what is
 * published.
 *
 * @throws TypeError for bad options, PublisherError `unavailable`, `unauthenticated`, `forbidden`; `closed` for a connection that is
 */
export async function createPublisher(options: PublisherOptions): Promise<Publisher> {
  const settings = settingsOf(options);
  const { servers, url, connection, apiKey, tls } = options;
  if (connection !== undefined) {
    if (connection.isClosed()) throw new PublisherError("closed", "the connection to NATS is closed");
    return publisherOf(connection, settings, false);
  }
  const { inboxPrefix, connectTimeoutMs: timeoutMs } = settings;
  const nc = await connectTo({ servers: servers ?? url ?? [], apiKey, inboxPrefix, tls, timeoutMs });
  try {
    return await publisherOf(nc, settings, true, apiKey !== undefined);
  } catch (error) {
    await nc.close();
    throw error;
  }
}

async function publisherOf(
  nc: NatsConnection,
  settings: GivenSettings,
  ownsConnection: boolean,
  byKey = false,
): Promise<Publisher> {
  const { connectTimeoutMs, ackTimeoutMs, stream } = settings;
  const teamId = byKey ? await teamOf(nc, connectTimeoutMs) : undefined;
  if (teamId !== undefined) {
    if (settings.teamId !== undefined && settings.teamId !== teamId) {
      throw new PublisherError("forbidden", `the API key is of team ${teamId}, not of ${settings.teamId}`);
    }
    const reader = new BrokerReader(nc, teamId, ackTimeoutMs);
    const about = await askAbout(reader, connectTimeoutMs);
    const idempotencySecret = settings.idempotencySecret ?? about.idempotencySecret;
    const complete = { ...settings, teamId, stream: about.stream, idempotencySecret };
    return new NatsPublisher(nc, complete, reader, ownsConnection);
  }
  // A NATS that lets anybody in, key or no key: then it is used as it is.
  if (settings.teamId === undefined) {
    throw new PublisherError("forbidden", "NATS has let this publisher in without a word of its team: give teamId");
  }
  const reader = new JetStreamReader(nc, stream, ackTimeoutMs);
  return new NatsPublisher(nc, { ...settings, teamId: settings.teamId }, reader, ownsConnection);
}
