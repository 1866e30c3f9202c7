import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CONFIG_VARIABLES, ConfigError, loadBrokerConfig } from "./config.ts";

describe("loadBrokerConfig", () => {
  it("has a default for everything a broker needs", () => {
    expect(loadBrokerConfig({})).toMatchObject({
      host: "127.0.0.1",
      port: 8080,
      heartbeatIntervalMs: 15_000,
      heartbeatTimeoutMs: 30_000,
      maxSubscriptionsPerConnection: 100,
    });
  });

  it("takes what is set; empty counts as not set", () => {
    expect(
      loadBrokerConfig({ KATA_PORT: "0", KATA_HOST: "", WS_MAX_SUBSCRIPTIONS_PER_CONNECTION: " 5 " }),
    ).toMatchObject({
      port: 0,
      host: "127.0.0.1",
      maxSubscriptionsPerConnection: 5,
    });
  });

  it.each([
    ["KATA_PORT", "http"],
    ["KATA_PORT", "70000"],
    ["KATA_PORT", "-1"],
    ["WS_HEARTBEAT_INTERVAL_MS", "15s"],
    ["NATS_URL", "http://127.0.0.1"],
    ["KATA_LOG_LEVEL", "loud"],
    ["KATA_DEV_TEAM", "a.b"],
    ["KATA_DEV_API_KEY", "short"],
    ["KATA_NATS_AUTH_SEED", `SX${"A".repeat(56)}`],
    ["KATA_NATS_XKEY_SEED", "SX"],
    ["KATA_ALLOWED_ORIGINS", "*"],
    ["KATA_ALLOWED_ORIGINS", "https://app.example.com/"],
    ["KATA_SESSION_COOKIE", "a b"],
    ["KATA_TRUSTED_PROXIES", "all"],
    ["WS_MAX_CONNECTIONS", "-1"],
  ])("refuses %s=%s in one line that names it and not the value", (name, value) => {
    const load = () => loadBrokerConfig({ [name]: value });
    expect(load).toThrow(ConfigError);
    expect(load).toThrow(new RegExp(`^${name} [^\n]+$`));
    if (name === "KATA_DEV_API_KEY") expect(load).not.toThrow(new RegExp(value));
  });

  it("takes the seeds for NATS both or neither", () => {
    const [auth, xkey] = [`SA${"A".repeat(56)}`, `SX${"A".repeat(56)}`];
    expect(loadBrokerConfig({ KATA_NATS_AUTH_SEED: auth, KATA_NATS_XKEY_SEED: xkey })).toMatchObject({
      natsAuthSeed: auth,
      natsXkeySeed: xkey,
    });
    for (const env of [{ KATA_NATS_AUTH_SEED: auth }, { KATA_NATS_XKEY_SEED: xkey }]) {
      expect(() => loadBrokerConfig(env)).toThrow(/^KATA_NATS_AUTH_SEED and KATA_NATS_XKEY_SEED belong together/);
    }
  });

  it("refuses a heartbeat that gives a pong no time", () => {
    expect(() => loadBrokerConfig({ WS_HEARTBEAT_TIMEOUT_MS: "15000" })).toThrow(
      /WS_HEARTBEAT_TIMEOUT_MS must be greater/,
    );
  });

  it("is documented, every variable of it", () => {
    const page = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
    for (const name of CONFIG_VARIABLES) expect(page).toContain(`| \`${name}\` |`);
  });
});
