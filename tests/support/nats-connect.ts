import { type ConnectionOptions, connect, type NatsConnection } from "@nats-io/transport-node";

/** Connects with the user and the password of the URL, which the client library drops. */
export function connectNats(url: string, options: ConnectionOptions = {}): Promise<NatsConnection> {
  const { protocol, host, username, password } = new URL(url);
  return connect({ servers: `${protocol}//${host}`, user: username, pass: password, ...options });
}
