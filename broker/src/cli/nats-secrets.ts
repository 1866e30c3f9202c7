import { createNatsSecrets, natsBrokerEnv, natsServerEnv } from "../callout/nats-secrets.ts";

/** New secrets for a nats-server and its brokers, as the environment variables that hold them. */
export function natsSecrets(): string {
  const secrets = createNatsSecrets();
  return [
    "# nats-server: see nats.conf. A broker's NATS_URL is nats://broker:<the password>@<host>:4222",
    ...linesOf(natsServerEnv(secrets)),
    "# Brokers.",
    ...linesOf(natsBrokerEnv(secrets)),
    "",
  ].join("\n");
}

function linesOf(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}
