import { errors, exportJWK, generateKeyPair, type JSONWebKeySet } from "jose";
import { describe, expect, it } from "vitest";
import { KeySet } from "./key-set.ts";

const { publicKey } = await generateKeyPair("ES256");
const jwk = await exportJWK(publicKey);
const setOf = (...kids: string[]): JSONWebKeySet => ({ keys: kids.map((kid) => ({ ...jwk, kid })) });
const UNKNOWN = errors.JWKSNoMatchingKey;

/** A key set whose source and time a test holds in its hand. */
function rig() {
  const world = {
    now: 0,
    answer: (): Promise<JSONWebKeySet> => Promise.resolve(setOf("one")),
    readings: 0,
    failures: [] as unknown[],
    find: (kid: string) => keys.find({ alg: "ES256", kid }, { payload: "", signature: "" }),
    away: () => {
      world.answer = () => Promise.reject(new Error("away"));
    },
    publish: (...kids: string[]) => {
      world.answer = () => Promise.resolve(setOf(...kids));
    },
  };
  const keys = new KeySet({
    load: () => {
      world.readings++;
      return world.answer();
    },
    refreshMs: 1_000,
    staleMs: 10_000,
    cooldownMs: 100,
    onUnavailable: (error) => world.failures.push(error),
    now: () => world.now,
  });
  return world;
}

describe("a key set", () => {
  it("is read once for all who need it at the same time", async () => {
    const world = rig();
    await Promise.all([world.find("one"), world.find("one"), world.find("one")]);
    await world.find("one");
    expect(world.readings).toBe(1);
  });

  it("an unknown key leads to another reading, so that a new one is known at once", async () => {
    const world = rig();
    await world.find("one");
    world.publish("two");
    world.now = 100;
    await world.find("two");
    expect(world.readings).toBe(2);
    // What is not published any more does not count any more.
    await expect(world.find("one")).rejects.toThrow(UNKNOWN);
  });

  it("whoever names keys that do not exist causes one reading in a cooldown, however many come", async () => {
    const world = rig();
    await world.find("one");
    for (world.now = 1; world.now < 1_000; world.now++)
      await expect(world.find(`x${world.now}`)).rejects.toThrow(UNKNOWN);
    expect(world.readings).toBe(10);
    const together = Array.from({ length: 50 }, (_, n) => expect(world.find(`y${n}`)).rejects.toThrow(UNKNOWN));
    await Promise.all(together);
    expect(world.readings).toBe(11);
  });

  it("a key that was withdrawn counts no longer than the keys may be old", async () => {
    const world = rig();
    world.publish("one", "two");
    await world.find("one");
    world.publish("two");
    world.now = 999;
    await world.find("one");
    world.now = 1_000;
    await expect(world.find("one")).rejects.toThrow(UNKNOWN);
  });

  it("while it cannot be read, known keys count for a while, of unknown ones nothing can be said", async () => {
    const world = rig();
    await world.find("one");
    world.away();
    for (const now of [1_000, 5_000, 9_999]) {
      world.now = now;
      await world.find("one");
      await expect(world.find("two")).rejects.toThrow("away");
    }
    expect(world.readings).toBe(4);
    expect(world.failures).toHaveLength(3);
    world.now = 10_000;
    await expect(world.find("one")).rejects.toThrow("away");
    world.publish("one");
    world.now = 10_150;
    await world.find("one");
    await expect(world.find("two")).rejects.toThrow(UNKNOWN);
  });

  it("a source that hangs is waited for once; then those with known keys go on while it is tried again", async () => {
    const world = rig();
    await world.find("one");
    let fail: (error: Error) => void = () => undefined;
    world.answer = () => new Promise((_resolve, reject) => (fail = reject));
    world.now = 1_000;
    const first = world.find("one");
    await Promise.resolve();
    fail(new Error("timeout"));
    await first;
    world.now = 2_000;
    // Nobody answers this reading: it resolves all the same.
    await world.find("one");
    expect(world.readings).toBe(3);
    fail(new Error("timeout"));
  });

  it("that was never read is an outage, and asked for once in a cooldown", async () => {
    const world = rig();
    world.away();
    for (let n = 0; n < 20; n++) await expect(world.find("one")).rejects.toThrow("away");
    expect(world.readings).toBe(1);
    world.publish("one");
    world.now = 100;
    await world.find("one");
  });
});
