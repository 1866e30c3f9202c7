import { loadBrokerConfig } from "@kata/broker";
import { expect, it } from "vitest";
import { kata } from "./rig.ts";

it("kata nats-secrets prints new secrets as the environment of nats-server and of brokers", async () => {
  const made = await Promise.all([1, 2].map(() => kata(["nats-secrets"]).ended));
  const [env, other] = made.map(({ code, stdout, stderr }) => {
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    return Object.fromEntries(lines.map((line) => line.split("=")));
  });
  expect(env).toEqual({
    KATA_NATS_BROKER_PASSWORD: expect.stringMatching(/^kata_[0-9a-f]{48}$/),
    KATA_NATS_AUTH_ISSUER: expect.stringMatching(/^A[A-Z2-7]{55}$/),
    KATA_NATS_AUTH_XKEY: expect.stringMatching(/^X[A-Z2-7]{55}$/),
    KATA_NATS_AUTH_SEED: expect.any(String),
    KATA_NATS_XKEY_SEED: expect.any(String),
  });
  expect(loadBrokerConfig(env ?? {}).natsAuthSeed).toBe(env?.KATA_NATS_AUTH_SEED);
  for (const [name, value] of Object.entries(env ?? {})) expect(other?.[name]).not.toBe(value);
});
