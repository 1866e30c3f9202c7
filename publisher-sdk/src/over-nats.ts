import type { NatsConnection } from "@nats-io/transport-node";
import { BrokerReader } from "./broker-reader.ts";
import { connectTo } from "./connection.ts";
import { PublisherError } from "./errors.ts";
import { askAbout, teamOf } from "./identity.ts";
import { JetStreamReader } from "./jetstream-reader.ts";
import { NatsUplink } from "./nats-uplink.ts";
import type { GivenSettings, PublisherOptions, Settings } from "./options.ts";
import type { Publisher } from "./publisher.ts";
import { QueuedPublisher } from "./queued-publisher.ts";
import { openSpoolAt } from "./spool.ts";
import { SteadyClock } from "./steady-clock.ts";
import type { StreamReader } from "./stream-reader.ts";
import type { UplinkListener } from "./uplink.ts";

/**
 * A publisher whose way to the log is NATS itself.
 *
 * @throws PublisherError `unavailable`, `unauthenticated`, `forbidden`, `closed`
 */
export async function overNats(options: PublisherOptions, settings: GivenSettings): Promise<Publisher> {
  const { servers, url, connection, apiKey, tls } = options;
  if (connection !== undefined) {
    if (connection.isClosed()) throw new PublisherError("closed", "the connection to NATS is closed");
    return publisherOf(connection, settings, false, options);
  }
  const { inboxPrefix, connectTimeoutMs: timeoutMs } = settings;
  const nc = await connectTo({ servers: servers ?? url ?? [], apiKey, inboxPrefix, tls, timeoutMs });
  try {
    return await publisherOf(nc, settings, true, options);
  } catch (error) {
    await nc.close();
    throw error;
  }
}

async function publisherOf(
  nc: NatsConnection,
  settings: GivenSettings,
  ownsConnection: boolean,
  { apiKey, spool }: PublisherOptions,
): Promise<Publisher> {
  const { connectTimeoutMs, ackTimeoutMs, stream } = settings;
  const create = async (complete: Settings, reader: StreamReader): Promise<Publisher> => {
    const opened = spool === undefined ? undefined : await openSpoolAt(spool, { ...complete, via: "nats" });
    const clock = new SteadyClock();
    const connect = ({ closed }: UplinkListener) =>
      new NatsUplink(nc, complete, reader, ownsConnection, clock.now, closed);
    return new QueuedPublisher(complete, clock, connect, opened);
  };
  const teamId = apiKey !== undefined ? await teamOf(nc, connectTimeoutMs) : undefined;
  if (teamId !== undefined) {
    if (settings.teamId !== undefined && settings.teamId !== teamId) {
      throw new PublisherError("forbidden", `the API key is of team ${teamId}, not of ${settings.teamId}`);
    }
    const reader = new BrokerReader(nc, teamId, ackTimeoutMs);
    const about = await askAbout(reader, connectTimeoutMs);
    const idempotencySecret = settings.idempotencySecret ?? about.idempotencySecret;
    return await create({ ...settings, teamId, stream: about.stream, idempotencySecret }, reader);
  }
  // A NATS that lets anybody in, key or no key: then it is used as it is.
  if (settings.teamId === undefined) {
    throw new PublisherError("forbidden", "NATS has let this publisher in without a word of its team: give teamId");
  }
  return await create({ ...settings, teamId: settings.teamId }, new JetStreamReader(nc, stream, ackTimeoutMs));
}
