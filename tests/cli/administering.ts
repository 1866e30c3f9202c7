import { expect } from "vitest";
import { type InProcessBroker, startBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { type Ended, kata, reading, TEAM } from "./rig.ts";

/** The two ways to administer, which lead to the same: through a broker as its team, and on NATS itself for any team. */
export const WAYS = ["through a broker", "on NATS itself"] as const;
export type Way = (typeof WAYS)[number];

/** A broker that keeps keys, sessions and channels in NATS. */
export interface AdminRig extends AsyncDisposable {
  readonly nats: TestNats;
  readonly broker: InProcessBroker;
  /** `kata …` for the broker's team, to its end. */
  run(way: Way, ...args: string[]): Promise<Ended>;
  /** The same, whose stdout is wanted: it must end well. */
  ok(way: Way, ...args: string[]): Promise<{ readonly stdout: string; readonly stderr: string }>;
}

export async function createAdminRig(): Promise<AdminRig> {
  const nats = await startNats();
  const broker = await startBroker({ nats, keptInNats: true });
  const run = async (way: Way, ...args: string[]): Promise<Ended> => {
    await using command =
      way === "through a broker"
        ? kata(args, reading(broker))
        : kata([...args, "--nats", nats.url, "--team", TEAM], { KATA_URL: "nowhere", KATA_API_KEY: "none" });
    return await command.ended;
  };
  return {
    nats,
    broker,
    run,
    async ok(way, ...args) {
      const { code, stdout, stderr } = await run(way, ...args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) });
      return { stdout, stderr };
    },
    async [Symbol.asyncDispose]() {
      await broker.close();
      await nats[Symbol.asyncDispose]();
    },
  };
}

/** One line on stderr that matches, nothing on stdout, exit code 1; and none of `secrets` is in it. */
export function expectRefusal(ended: Ended, line: RegExp, secrets: readonly string[] = []): void {
  expect(ended).toMatchObject({ code: 1, signal: null, stdout: "" });
  expect(ended.stderr).toMatch(/^kata: [^\n]+\n$/);
  expect(ended.stderr).toMatch(line);
  for (const secret of secrets) expect(ended.stderr).not.toContain(secret);
}
