import { connectTo } from "./connection.ts";
import { PublisherError } from "./errors.ts";
import type { EventInput } from "./event.ts";
import { NatsPublisher } from "./nats-publisher.ts";
import { type PublisherOptions, settingsOf } from "./options.ts";
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
 * Connects to NATS and resolves when it is connected. A stream that is not there yet, or has no leader, is waited for
 * by what is published.
 *
 * @throws TypeError for bad options, PublisherError `unavailable`, `unauthenticated`; `closed` for a connection that is
 */
export async function createPublisher(options: PublisherOptions): Promise<Publisher> {
  const settings = settingsOf(options);
  const { servers, url, connection, apiKey } = options;
  if (connection !== undefined) {
    if (connection.isClosed()) throw new PublisherError("closed", "the connection to NATS is closed");
    return new NatsPublisher(connection, settings, false);
  }
  const timeoutMs = settings.connectTimeoutMs;
  return new NatsPublisher(await connectTo({ servers: servers ?? url ?? [], apiKey, timeoutMs }), settings, true);
}
