import { ClassicLevel } from "classic-level";
import { describe, expect, test, vi } from "vitest";
import { openSpool } from "../../publisher-sdk/src/spool-store.ts";
import { readLog } from "../support/stream.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import { createRig, numbersOf, TEAM, upTo } from "./rig.ts";

const event = (i: number) => ({ type: "log_entry", payload: { message: "m", i } });
const turn = () => new Promise<void>((next) => setImmediate(next));

const NO_SPACE = "IO error: 000003.log: No space left on device";
const BROKEN = "IO error: 000003.log: Input/output error";

/** A disk that takes nothing more until it is disposed. */
function brokenDisk(why = NO_SPACE) {
  let refused = 0;
  const refuse = async () => {
    refused++;
    throw new Error(why);
  };
  const batch = vi.spyOn(ClassicLevel.prototype, "batch").mockImplementation(refuse as never);
  return {
    /** How many writes it has refused. */
    get refused() {
      return refused;
    },
    [Symbol.dispose]: () => batch.mockRestore(),
  };
}

describe.each(["user", "http"] as const)("over %s", (way) => {
  test("what spooled() has promised is stored although the disk is full for a moment", async () => {
    await using rig = await createRig({ way });
    await using directory = await createTempDirectory();
    const publisher = await rig.publisher({ spool: directory.path, ackTimeoutMs: 60_000 });
    await publisher.publish("agent:a1", event(0));
    rig.proxy.pause();
    // Records of their own, as an outage of hours brings about.
    const all = upTo(20).map((i) => publisher.publish("agent:a1", { ...event(i + 1), idempotencyKey: `k${i}` }));
    const outcomes = Promise.allSettled(all);
    await publisher.spooled();
    {
      using disk = brokenDisk();
      rig.proxy.resume();
      await all[0];
      // The next one's turn.
      await vi.waitFor(() => expect(disk.refused).toBeGreaterThan(3));
    }
    for (const outcome of await outcomes) expect(outcome).toMatchObject({ value: { duplicate: false } });
    expect(numbersOf(await readLog(rig.nc))).toEqual(upTo(21));
  });

  test("what was told to be kept is sent by the next publisher, and what was not stored is not", async () => {
    await using rig = await createRig({ way });
    await using directory = await createTempDirectory();
    const spool = directory.path;
    const first = await rig.publisher({ spool, ackTimeoutMs: 60_000, closeTimeoutMs: 50 });
    await first.publish("agent:a1", event(0));
    rig.proxy.pause();
    const sent = first.publish("agent:a1", event(1));
    await turn();
    const kept = first.publish("agent:a1", event(2));
    await first.spooled();
    {
      using _ = brokenDisk();
      const refused = first.publish("team:t1", event(3));
      await expect(refused).rejects.toMatchObject({ code: "spool_failed", stored: "no" });
      rig.proxy.resume();
      await sent;
      const told = expect(kept).rejects.toMatchObject({ code: "spooled", stored: "unknown" });
      await Promise.allSettled([first.close()]);
      await told;
    }
    const second = await rig.publisher({ spool });
    await second.flush();
    expect(numbersOf(await readLog(rig.nc, "kata.team.t1.agent.a1"))).toEqual([0, 1, 2]);
    expect(await readLog(rig.nc, "kata.team.t1")).toEqual([]);
  });
});

test("started and closed while nothing can be reached: only what is on disk is said to be kept", async () => {
  await using rig = await createRig({ way: "http" });
  await using directory = await createTempDirectory();
  rig.proxy.refuse(true);
  const options = { teamId: TEAM, spool: directory.path, closeTimeoutMs: 50 };
  const first = await rig.publisher(options);
  const kept = first.publish("agent:a1", event(0));
  await first.spooled();
  const told = expect(kept).rejects.toMatchObject({ code: "spooled", stored: "unknown" });
  {
    using _ = brokenDisk();
    const refused = [
      first.publish("agent:a2", event(1)),
      first.publish("agent:a1", { ...event(2), idempotencyKey: "k" }),
    ];
    const outcomes = Promise.allSettled(refused);
    // Of one event it may be true, and not of the others.
    await expect(first.spooled()).rejects.toMatchObject({ code: "spool_failed", stored: "unknown" });
    await expect(first.close()).rejects.toMatchObject({ code: "spool_failed", stored: "unknown" });
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ reason: { code: "spool_failed", stored: "no" } });
    }
  }
  await told;
  const second = await rig.publisher(options);
  expect(second.stats.queuedEvents).toBe(1);
  rig.proxy.refuse(false);
  await second.flush();
  expect(numbersOf(await readLog(rig.nc))).toEqual([0]);
});

test("what is being written is not known to be on disk, nor not to be", async () => {
  await using directory = await createTempDirectory();
  const { spool } = await openSpool(directory.path, { teamId: TEAM, stream: "KATA", via: "nats" });
  const [older, newer] = ["older", "newer"].map((messageId) => ({ messageId, channel: "agent:a1", openedAt: 1 }));
  if (older === undefined || newer === undefined) return expect.unreachable();
  spool.add(older, "1");
  await spool.commit();
  expect(spool.holds(older)).toBe("all");
  let refuse = (_: Error): void => undefined;
  const write = () => new Promise<void>((_, reject) => (refuse = reject));
  const batch = vi.spyOn(ClassicLevel.prototype, "batch").mockImplementation(write as never);
  spool.add(older, "2");
  spool.add(newer, "1");
  const refused = expect(spool.commit()).rejects.toMatchObject({ code: "full" });
  await vi.waitFor(() => expect(batch).toHaveBeenCalled());
  expect([spool.holds(older), spool.holds(newer)]).toEqual(["some", "some"]);
  refuse(new Error(NO_SPACE));
  await refused;
  expect([spool.holds(older), spool.holds(newer)]).toEqual(["some", "none"]);
  batch.mockRestore();
  await spool.commit();
  expect([spool.holds(older), spool.holds(newer)]).toEqual(["all", "all"]);
  await spool.close();
});

test("a disk that fails otherwise may hold what it refused: that is not told to be absent", async () => {
  await using rig = await createRig();
  await using directory = await createTempDirectory();
  const publisher = await rig.publisher({ spool: directory.path });
  await publisher.publish("agent:a1", event(0));
  using _ = brokenDisk(BROKEN);
  const refused = publisher.publish("agent:a1", event(1));
  await expect(refused).rejects.toMatchObject({ code: "spool_failed", stored: "unknown" });
});
