import { randomBytes } from "node:crypto";
import { createAccount, createCurve } from "@nats-io/jwt";

/** What nats-server and the brokers must know of each other: see nats.conf. */
export interface NatsSecrets {
  /** Of the NATS user `broker`. */
  readonly brokerPassword: string;
  /** Signs who is let in. Secret, the brokers' alone. */
  readonly authSeed: string;
  /** Its public key, which nats-server trusts. */
  readonly authIssuer: string;
  /** Opens the credentials that nats-server asks about. Secret, the brokers' alone. */
  readonly xkeySeed: string;
  /** Its public key, for which nats-server encrypts. */
  readonly xkey: string;
}

/** New ones that nobody can guess. */
export function createNatsSecrets(): NatsSecrets {
  const issuer = createAccount();
  const curve = createCurve();
  const text = new TextDecoder();
  return {
    // nats.conf reads values by its own grammar: with letters in front it is a string, whatever the digits are.
    brokerPassword: `kata_${randomBytes(24).toString("hex")}`,
    authSeed: text.decode(issuer.getSeed()),
    authIssuer: issuer.getPublicKey(),
    xkeySeed: text.decode(curve.getSeed()),
    xkey: curve.getPublicKey(),
  };
}

/** The environment of nats-server with the project's nats.conf. */
export function natsServerEnv(secrets: NatsSecrets): Record<string, string> {
  return {
    KATA_NATS_BROKER_PASSWORD: secrets.brokerPassword,
    KATA_NATS_AUTH_ISSUER: secrets.authIssuer,
    KATA_NATS_AUTH_XKEY: secrets.xkey,
  };
}

/** The environment of a broker, beside NATS_URL. */
export function natsBrokerEnv(secrets: NatsSecrets): Record<string, string> {
  return { KATA_NATS_AUTH_SEED: secrets.authSeed, KATA_NATS_XKEY_SEED: secrets.xkeySeed };
}
