export { type FindOptions, findNatsServer, type NatsBinary, NatsServerNotFound } from "./nats/find.ts";
export { type NatsServer, type NatsServerOptions, startNatsServer } from "./nats/server.ts";
export { NatsServerFailed } from "./nats/startup.ts";
