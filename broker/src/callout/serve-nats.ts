import type { NatsConnection } from "@nats-io/transport-node";
import type { Credentials, Resolution } from "../auth/resolve-principal.ts";
import type { Revocation } from "../auth/revocation.ts";
import type { TeamSecrets } from "../auth/team-secrets.ts";
import type { Logger } from "../logger.ts";
import { serveCallout } from "./callout.ts";
import { createKicker } from "./kick.ts";
import { servePublishers } from "./publisher-service.ts";

export interface NatsEntranceOptions {
  readonly nc: NatsConnection;
  /** See KATA_NATS_AUTH_SEED and KATA_NATS_XKEY_SEED. */
  readonly authSeed: string;
  readonly xkeySeed: string;
  readonly resolve: (credentials: Credentials) => Promise<Resolution>;
  readonly secrets: TeamSecrets;
  readonly logger: Logger;
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
  const kicker = createKicker(nc, logger);
  // Last, so that whoever it lets in finds the rest there.
  const callout = serveCallout(options);
  return {
    revoked(revocation) {
      callout.revoked(revocation);
      if (revocation.type === "api_key") kicker.kick(revocation.keyId);
    },
    close() {
      callout.close();
      kicker.close();
      publishers.close();
    },
  };
}
