import type { NatsConnection } from "@nats-io/transport-node";
import { BrokerReader } from "./broker-reader.ts";
import { connectTo } from "./connection.ts";
import { orUnavailable, PublisherError } from "./errors.ts";
import { askAbout, teamOf } from "./identity.ts";
import { JetStreamReader } from "./jetstream-reader.ts";
import { LateUplink } from "./late-uplink.ts";
import { NatsUplink } from "./nats-uplink.ts";
import type { GivenSettings, PublisherOptions, Settings } from "./options.ts";
import type { Publisher } from "./publisher.ts";
import { QueuedPublisher } from "./queued-publisher.ts";
import { openSpoolAt } from "./spool.ts";
import { SteadyClock } from "./steady-clock.ts";
import type { StreamReader } from "./stream-reader.ts";
import type { Uplink, UplinkListener } from "./uplink.ts";

/**
 * A publisher whose way to the log is NATS itself.
 *
 * @throws PublisherError `unavailable`, `unauthenticated`, `forbidden`, `closed`
 */
export async function overNats(options: PublisherOptions, settings: GivenSettings): Promise<Publisher> {
  const { servers, url, connection, apiKey, spool, tls } = options;
  if (connection !== undefined) {
    if (connection.isClosed()) throw new PublisherError("closed", "the connection to NATS is closed");
    return publisherOf(connection, settings, false, options);
  }
  const { inboxPrefix, connectTimeoutMs: timeoutMs } = settings;
  const connect = () => connectTo({ servers: servers ?? url ?? [], apiKey, inboxPrefix, tls, timeoutMs });
  // What a spool keeps can wait for NATS. With an API key it cannot: brokers tell what message ids are made with.
  const nc = spool === undefined || apiKey !== undefined ? await connect() : await orUnavailable(connect());
  if (nc instanceof PublisherError) return publisherWithout(nc, connect, settings, options);
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
  const complete = { ...settings, teamId: teamGivenIn(settings) };
  return await create(complete, new JetStreamReader(nc, stream, ackTimeoutMs));
}

/** A publisher whose spool keeps what waits until NATS can be reached. */
async function publisherWithout(
  failure: PublisherError,
  connectOnce: () => Promise<NatsConnection>,
  settings: GivenSettings,
  { spool = "" }: PublisherOptions,
): Promise<Publisher> {
  const complete = { ...settings, teamId: teamGivenIn(settings) };
  const opened = await openSpoolAt(spool, { ...complete, via: "nats" });
  const clock = new SteadyClock();
  const connect = async (closed: () => void): Promise<Uplink> => {
    const nc = await connectOnce();
    const reader = new JetStreamReader(nc, settings.stream, settings.ackTimeoutMs);
    return new NatsUplink(nc, complete, reader, true, clock.now, closed);
  };
  const late = ({ ready, closed }: UplinkListener) =>
    new LateUplink({ connect: () => connect(closed), failure, ready });
  return new QueuedPublisher(complete, clock, late, opened);
}

function teamGivenIn({ teamId }: GivenSettings): string {
  if (teamId !== undefined) return teamId;
  // A NATS that lets anybody in, key or no key: then it is used as it is.
  throw new PublisherError("forbidden", "NATS has let this publisher in without a word of its team: give teamId");
}
