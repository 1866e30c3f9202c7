export type { ApiKeyAuth, ChannelAccess, SessionStore } from "./auth/adapters.ts";
export { type Authorization, authorizeChannel } from "./auth/authorize-channel.ts";
export { createDevelopmentAuth, type DevelopmentAuthOptions } from "./auth/development.ts";
export { mayDo, type Principal, type Scope } from "./auth/principal.ts";
export { type Credentials, type Resolution, type ResolveDeps, resolvePrincipal } from "./auth/resolve-principal.ts";
export { type Broker, type BrokerOptions, createBroker } from "./broker.ts";
export { type BrokerConfig, CONFIG_VARIABLES, ConfigError, loadBrokerConfig } from "./config.ts";
export type { Logger } from "./logger.ts";
