import { randomBytes } from "node:crypto";
import { type BrokerConfig, loadBrokerConfig } from "@kata/broker";
import { UserError } from "./user-error.ts";

export interface Settings {
  readonly broker: BrokerConfig;
  readonly dataDirectory: string;
  /** Whether NATS_URL names a server, so that none is started. */
  readonly ownNats: boolean;
  /** Where our nats-server listens; 0: a free port. */
  readonly natsPort: number;
}

/** What `npm start` reads from the environment. An empty variable counts as not set. Throws a ConfigError or a UserError. */
export function loadSettings(env: NodeJS.ProcessEnv): Settings {
  return {
    broker: loadBrokerConfig(env),
    dataDirectory: env.KATA_DATA_DIR || ".kata",
    ownNats: !env.NATS_URL,
    natsPort: portOf("KATA_NATS_PORT", env.KATA_NATS_PORT || "4222"),
  };
}

/** A key for development that nobody can guess; its form is that of every API key, its id `dev`. */
export function createDevKey(): string {
  return `kat_live_dev_${randomBytes(20).toString("hex")}`;
}

function portOf(name: string, value: string): number {
  const port = Number(value);
  if (/^\d+$/.test(value.trim()) && port <= 65_535) return port;
  throw new UserError(`${name} must be a whole number from 0 to 65535: set it right or leave it out`);
}
