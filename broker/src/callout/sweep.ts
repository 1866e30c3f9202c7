import type { NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "../logger.ts";
import { type Connections, PAGE } from "./connections.ts";

/** A key that is not known may just have been made at another broker: it is looked at again after so long, milliseconds. */
const SECOND_LOOK_MS = 1_000;
/** No more connections of a server are looked at than its own default lets in. */
const MAX_CONNECTIONS = 65_536;
/** Connections that are ended at a time. */
const AT_A_TIME = 64;

/**
 * Ends, once, the NATS connections of keys that were revoked while no broker was there to hear of it. Whoever has a valid key
 * is left alone.
 *
 * @param isKnownKey may throw: then nothing more is ended
 */
export function startSweep(
  nc: NatsConnection,
  connections: Connections,
  isKnownKey: (keyId: string) => boolean,
  logger: Logger,
): { close(): void } {
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const failed = (error: unknown): void => {
    if (!nc.isClosed()) logger.error({ err: error }, "cannot look for NATS connections of keys that were revoked");
  };
  suspects(connections, isKnownKey).then((found) => {
    if (found.length === 0 || closed) return;
    timer = setTimeout(() => {
      endAll(connections, found, isKnownKey, logger).catch(failed);
    }, SECOND_LOOK_MS);
    timer.unref();
  }, failed);
  return {
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

interface Suspect {
  readonly server: string;
  readonly cid: number;
  readonly keyId: string;
}

async function suspects(connections: Connections, isKnownKey: (keyId: string) => boolean): Promise<Suspect[]> {
  const found: Suspect[] = [];
  for (let offset = 0, more = true; more && offset < MAX_CONNECTIONS; offset += PAGE) {
    more = false;
    for await (const { server, connections: listed } of connections.list({ offset })) {
      for (const { cid, user: keyId } of listed) if (!isKnownKey(keyId)) found.push({ server, cid, keyId });
      more ||= listed.length >= PAGE;
    }
  }
  return found;
}

async function endAll(
  connections: Connections,
  found: readonly Suspect[],
  isKnownKey: (keyId: string) => boolean,
  logger: Logger,
): Promise<void> {
  const revoked = found.filter(({ keyId }) => !isKnownKey(keyId));
  for (let i = 0; i < revoked.length; i += AT_A_TIME) {
    await Promise.all(revoked.slice(i, i + AT_A_TIME).map(({ server, cid }) => connections.end(server, cid)));
  }
  if (revoked.length === 0) return;
  const keyIds = [...new Set(revoked.map(({ keyId }) => keyId))];
  logger.info(
    { keyIds: keyIds.slice(0, 100), connections: revoked.length },
    "ended NATS connections of keys that were revoked before this broker started",
  );
}
