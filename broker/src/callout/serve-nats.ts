import type { NatsConnection } from "@nats-io/transport-node";
import type { Credentials, Resolution } from "../auth/resolve-principal.ts";
import type { Revocation } from "../auth/revocation.ts";
import type { TeamSecrets } from "../auth/team-secrets.ts";
import type { Logger } from "../logger.ts";
import { serveCallout } from "./callout.ts";
import { createConnections } from "./connections.ts";
import { createKicker } from "./kick.ts";
import { servePublishers } from "./publisher-service.ts";
import { startSweep } from "./sweep.ts";

export interface NatsEntranceOptions {
  readonly nc: NatsConnection;
  /** See KATA_NATS_AUTH_SEED and KATA_NATS_XKEY_SEED. */
  readonly authSeed: string;
  readonly xkeySeed: string;
  readonly resolve: (credentials: Credentials) => Promise<Resolution>;
  readonly secrets: TeamSecrets;
  readonly logger: Logger;
  /** Whether a key has not been revoked; absent where it is not known, and connections of the time before are left alone. */
  readonly isKnownKey?: ((keyId: string) => boolean) | undefined;
  /** How long NATS may take to answer, milliseconds. */
  readonly timeoutMs: number;
}

/** The entrance for publishers: NATS itself, with this broker as its doorkeeper. */
export interface NatsEntrance {
  /** Ends the connections that these credentials have. */
  revoked(revocation: Revocation): void;
  close(): void;
}

/** @throws Error with a line that says which seed cannot be used */
export async function serveNats(options: NatsEntranceOptions): Promise<NatsEntrance> {
  const { nc, logger } = options;
  const publishers = await servePublishers(options);
  const connections = createConnections(nc);
  const kicker = createKicker(nc, connections, logger);
  // Last, so that whoever it lets in finds the rest there.
  const callout = serveCallout(options);
  // NATS has heard by now whom to ask.
  await nc.flush();
  const sweep = options.isKnownKey && startSweep(nc, connections, options.isKnownKey, logger);
  return {
    revoked(revocation) {
      callout.revoked(revocation);
      if (revocation.type === "api_key") kicker.kick(revocation.keyId);
    },
    close() {
      callout.close();
      kicker.close();
      sweep?.close();
      publishers.close();
    },
  };
}
