import type { BrokerConfig } from "@kata/broker";
import { createNatsSecrets, natsBrokerEnv, natsServerEnv } from "../../broker/src/callout/nats-secrets.ts";

/** What every nats-server and every broker of this test process know of each other. */
const secrets = createNatsSecrets();

/** The environment of a nats-server. */
export const NATS_SERVER_ENV: Readonly<Record<string, string>> = natsServerEnv(secrets);

/** The environment, and the settings, of a broker that serves the callout. */
export const CALLOUT_ENV: Readonly<Record<string, string>> = natsBrokerEnv(secrets);
export const CALLOUT: Pick<BrokerConfig, "natsAuthSeed" | "natsXkeySeed"> = {
  natsAuthSeed: secrets.authSeed,
  natsXkeySeed: secrets.xkeySeed,
};

/** The user that reads and writes the log: a broker's, and that of a test that acts as a trusted stranger. */
export const BROKER_LOGIN = { user: "broker", pass: secrets.brokerPassword };

/** The URL of a nats-server on a port of this machine, with that user. */
export function brokerUrl(port: number): string {
  return `nats://${BROKER_LOGIN.user}:${BROKER_LOGIN.pass}@127.0.0.1:${port}`;
}
