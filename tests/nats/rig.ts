import type { ApiKeyAuth, Logger } from "@kata/broker";
import {
  AuthorizationError,
  connect,
  type NatsConnection,
  PermissionViolationError,
  UserAuthenticationExpiredError,
} from "@nats-io/transport-node";
import type { ApiKeyPrincipal } from "../../broker/src/auth/principal.ts";
import type { Revocation } from "../../broker/src/auth/revocation.ts";
import { inboxPrefixOf } from "../../broker/src/callout/permissions.ts";
import { type InProcessBroker, startBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { CALLOUT } from "../support/nats-secrets.ts";

/** What a key can do that a test knows by name. */
export type KeyBehaviour = () => Promise<ApiKeyPrincipal | undefined>;

/** Keys that a test makes up: whom each is of, or how looking it up goes wrong. */
export class TestKeys implements ApiKeyAuth {
  readonly #keys = new Map<string, KeyBehaviour>();
  readonly #listeners = new Set<(revocation: Revocation) => void>();
  #made = 0;

  /** A key of the team, with the scope `publish`. */
  add(teamId: string, more: Partial<ApiKeyPrincipal> = {}): string {
    const keyId = more.keyId ?? `k${++this.#made}`;
    return this.behave({ type: "api_key", teamId, keyId, scopes: ["publish"], ...more });
  }

  behave(answer: ApiKeyPrincipal | KeyBehaviour): string {
    const key = `kat_live_${this.#keys.size}_0123456789abcdef`;
    this.#keys.set(key, typeof answer === "function" ? answer : async () => answer);
    return key;
  }

  remove(key: string): void {
    this.#keys.delete(key);
  }

  tell(revocation: Revocation): void {
    for (const listener of this.#listeners) listener(revocation);
  }

  async verifyKey(key: string): Promise<ApiKeyPrincipal | undefined> {
    return await this.#keys.get(key)?.();
  }

  onRevoked(listener: (revocation: Revocation) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

export interface LogLine {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly line: string;
}

export function createTestLogger(): { readonly logger: Logger; readonly warnings: LogLine[] } {
  const warnings: LogLine[] = [];
  const warn = (fields: unknown, line?: string): void => {
    if (typeof fields === "object" && line !== undefined) warnings.push({ fields: { ...fields }, line });
  };
  return { logger: { debug() {}, info() {}, warn, error: warn } as Logger, warnings };
}

/** nats-server, a broker that vouches for the keys, and a connection that may read everything. */
export interface NatsRig extends AsyncDisposable {
  readonly nats: TestNats;
  readonly broker: InProcessBroker;
  readonly keys: TestKeys;
  readonly warnings: LogLine[];
  /** As a broker: to look at what became of everything. */
  readonly inside: NatsConnection;
}

export async function createNatsRig(): Promise<NatsRig> {
  const nats = await startNats();
  const keys = new TestKeys();
  const { logger, warnings } = createTestLogger();
  const broker = await startBroker({ nats, config: CALLOUT, apiKeys: keys, logger });
  const inside = await connectNats(nats.url);
  return {
    nats,
    broker,
    keys,
    warnings,
    inside,
    async [Symbol.asyncDispose]() {
      await inside.close();
      await broker.close();
      await nats[Symbol.asyncDispose]();
    },
  };
}

/** A publisher's bare connection, which does not come back by itself. */
export function connectKey(nats: TestNats, key: string): Promise<NatsConnection> {
  return connect({ servers: nats.publicUrl, token: key, inboxPrefix: inboxPrefixOf(key), reconnect: false });
}

/** What becomes of an attempt to connect. */
export async function knock(connecting: Promise<NatsConnection>): Promise<"let in" | "refused"> {
  try {
    await (await connecting).close();
    return "let in";
  } catch (error) {
    if (error instanceof AuthorizationError) return "refused";
    // What a user's last fraction of a second is for NATS, which counts in whole ones.
    if (error instanceof UserAuthenticationExpiredError) return "refused";
    throw error;
  }
}

/** The subjects that NATS refuses the connection from now on. */
export function violationsOf(nc: NatsConnection): string[] {
  const subjects: string[] = [];
  void (async () => {
    for await (const status of nc.status()) {
      if (status.type === "error" && status.error instanceof PermissionViolationError) {
        subjects.push(`${status.error.operation} ${status.error.subject}`);
      }
    }
  })();
  return subjects;
}
