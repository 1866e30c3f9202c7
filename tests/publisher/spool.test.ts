import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { PublisherOptions } from "@kata/publisher";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { seededRandom } from "../support/random.ts";
import { readLog } from "../support/stream.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import { createRig, eventIdsOf, numbersOf, upTo, WAYS } from "./rig.ts";
import type { Said } from "./spool-publisher.ts";

const SCRIPT = fileURLToPath(new URL("spool-publisher.ts", import.meta.url));
const event = (i: number) => ({ type: "log_entry", payload: { message: "m", i } });
const ROUNDS = 6;

interface Publishing {
  /** The last event that is known to be on disk, -1 at first. */
  readonly spooled: number;
  readonly stored: ReadonlyMap<number, string>;
  readonly ready: boolean;
  kill(): Promise<void>;
  readonly ended: Promise<number | null>;
}

/** A publisher in a process of its own. */
function startPublishing(options: PublisherOptions, run: number, count: number): Publishing {
  const args = ["--conditions=kata-source", "--import", "tsx", SCRIPT, JSON.stringify([options, run, count])];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit").then(([code]) => code as number | null);
  onTestFinished(() => void child.kill("SIGKILL"));
  const state = { spooled: -1, ready: false, stored: new Map<number, string>() };
  createInterface({ input: child.stdout }).on("line", (line) => {
    const said = JSON.parse(line) as Said;
    if ("ready" in said) state.ready = true;
    else if ("spooled" in said) state.spooled = said.spooled;
    else state.stored.set(said.stored, said.eventId);
  });
  return {
    get spooled() {
      return state.spooled;
    },
    get ready() {
      return state.ready;
    },
    stored: state.stored,
    ended,
    kill: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

interface Numbered {
  readonly run: number;
  readonly i: number;
  readonly eventId: string;
}

describe.each(WAYS)("over %s", (way) => {
  test("a process that is killed at any moment: what was on disk is in the log once, in order, when another takes over", async () => {
    const random = seededRandom();
    await using rig = await createRig({ way });
    await using directory = await createTempDirectory();
    const options = { ...rig.where, ackTimeoutMs: 2_000, maxRecordEvents: 50, spool: directory.path };
    const runs: Publishing[] = [];
    for (let run = 0; run < ROUNDS; run++) {
      const publishing = startPublishing(options, run, 1_000_000);
      runs.push(publishing);
      const enough = 20 + Math.floor(random() * 2_000);
      await vi.waitFor(() => expect(publishing.spooled).toBeGreaterThan(enough), { timeout: 20_000, interval: 2 });
      // Every other one while nothing gets through: then all of it is left to the next.
      if (run % 2 === 1) {
        rig.proxy.pause();
        const before = publishing.spooled;
        await vi.waitFor(() => expect(publishing.spooled).toBeGreaterThan(before + 100), { timeout: 20_000 });
      }
      await publishing.kill();
      rig.proxy.cut();
      rig.proxy.resume();
    }
    expect(await startPublishing(options, -1, 0).ended).toBe(0);
    const log = await readLog(rig.nc, "kata.team.t1.agent.a1");
    const events: Numbered[] = log.flatMap(({ lines, eventIds }) =>
      lines.map((line, n) => {
        const { payload } = JSON.parse(line) as { payload: { run: number; i: number } };
        return { run: payload.run, i: payload.i, eventId: eventIds[n] ?? "" };
      }),
    );
    expect(events.map(({ run }) => run)).toEqual(events.map(({ run }) => run).sort((a, b) => a - b));
    for (const [run, publishing] of runs.entries()) {
      const mine = events.filter((each) => each.run === run);
      expect(mine.map(({ i }) => i)).toEqual(upTo(mine.length));
      expect(mine.length - 1).toBeGreaterThanOrEqual(publishing.spooled);
      for (const [i, eventId] of publishing.stored) expect(mine[i]?.eventId).toBe(eventId);
    }
  }, 120_000);

  test("closed while the log is away: what is left says so, and the next publisher sends it first", async () => {
    await using rig = await createRig({ way });
    await using directory = await createTempDirectory();
    const spool = directory.path;
    const reports: unknown[] = [];
    const first = await rig.publisher({ spool, ackTimeoutMs: 60_000, closeTimeoutMs: 50 });
    await first.publish("agent:a1", event(0));
    rig.proxy.pause();
    const left = [...upTo(5).map((i) => first.publish("agent:a1", event(i + 1))), first.publish("team:t1", event(6))];
    const keyed = first.publish("agent:a1", { ...event(7), idempotencyKey: "k" });
    const outcomes = Promise.allSettled([...left, keyed]);
    await first.spooled();
    await expect(first.close()).rejects.toMatchObject({ code: "spooled" });
    for (const outcome of await outcomes)
      expect(outcome).toMatchObject({ reason: { code: "spooled", stored: "unknown" } });
    rig.proxy.cut();
    rig.proxy.resume();
    const second = await rig.publisher({ spool, onRecord: (report) => reports.push(report) });
    const next = await second.publish("agent:a1", event(8));
    await second.flush();
    const log = await readLog(rig.nc, "kata.team.t1.agent.a1");
    expect(numbersOf(log)).toEqual([0, 1, 2, 3, 4, 5, 7, 8]);
    expect(eventIdsOf(log).at(-1)).toBe(next.eventId);
    expect(numbersOf(await readLog(rig.nc, "kata.team.t1"))).toEqual([6]);
    expect(reports.filter((report) => (report as { recovered: boolean }).recovered)).toHaveLength(3);
    expect(await second.publish("agent:a1", { ...event(9), idempotencyKey: "k" })).toMatchObject({ duplicate: true });
    await second.close();
    // Nothing is left: a third one sends nothing.
    const third = await rig.publisher({ spool });
    expect(third.stats.queuedEvents).toBe(0);
  });

  test("closed while nothing is connected: what is kept is not said to be absent, sent or not", async () => {
    await using rig = await createRig({ way });
    await using directory = await createTempDirectory();
    const spool = directory.path;
    const first = await rig.publisher({ spool, closeTimeoutMs: 50 });
    await first.publish("agent:a1", event(0));
    rig.proxy.refuse(true);
    rig.proxy.cut();
    // Over HTTP nothing is noticed before something is sent.
    if (way !== "http") await vi.waitFor(() => expect(first.stats.connected).toBe(false));
    const told = Promise.allSettled([1, 2, 3].map((i) => first.publish("agent:a1", event(i))));
    await first.spooled();
    await expect(first.close()).rejects.toMatchObject({ code: "spooled", stored: "unknown" });
    for (const outcome of await told) expect(outcome).toMatchObject({ reason: { code: "spooled", stored: "unknown" } });
    rig.proxy.refuse(false);
    const second = await rig.publisher({ spool });
    await second.flush();
    expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1, 2, 3]);
  });

  test("its time is up while nothing is connected: what may be on disk is not said to be absent", async () => {
    await using rig = await createRig({ way });
    await using directory = await createTempDirectory();
    const publisher = await rig.publisher({ spool: directory.path });
    await publisher.publish("agent:a1", event(0));
    rig.proxy.refuse(true);
    rig.proxy.cut();
    if (way !== "http") await vi.waitFor(() => expect(publisher.stats.connected).toBe(false));
    const hasty = publisher.publish("agent:a1", event(1), { timeoutMs: 300 });
    await expect(hasty).rejects.toMatchObject({ code: "unavailable", stored: "unknown" });
  });

  test("an event that was rejected is not sent by the next publisher", async () => {
    await using rig = await createRig({ way });
    await using directory = await createTempDirectory();
    const first = await rig.publisher({ spool: directory.path, ackTimeoutMs: 60_000, closeTimeoutMs: 50 });
    await first.publish("agent:a1", event(0));
    rig.proxy.pause();
    const sent = first.publish("agent:a1", event(1));
    await new Promise((next) => setImmediate(next));
    const hasty = first.publish("agent:a1", event(2), { timeoutMs: 50 });
    // It was on disk: were the process killed now, the next one might send it.
    await expect(hasty).rejects.toMatchObject({ code: "unavailable", stored: "unknown" });
    const closed = expect(first.close()).rejects.toMatchObject({ code: "spooled" });
    await expect(sent).rejects.toMatchObject({ code: "spooled" });
    await closed;
    rig.proxy.cut();
    rig.proxy.resume();
    const second = await rig.publisher({ spool: directory.path });
    await second.flush();
    expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1]);
  });
});

test("what one way has left is not sent the other way, where it would have another id; an empty spool can change", async () => {
  await using rig = await createRig({ way: "http" });
  await using directory = await createTempDirectory();
  const spool = directory.path;
  const first = await rig.publisher({ spool, ackTimeoutMs: 60_000, closeTimeoutMs: 50 });
  await first.publish("agent:a1", event(0));
  rig.proxy.pause();
  const sent = first.publish("agent:a1", event(1));
  await first.spooled();
  await Promise.allSettled([sent, first.close()]);
  rig.proxy.cut();
  rig.proxy.resume();
  const overNats = () => rig.publisher({ connection: rig.nc, spool });
  await expect(overNats()).rejects.toMatchObject({
    code: "spool_failed",
    message: expect.stringContaining("another way"),
  });
  const second = await rig.publisher({ spool });
  await second.flush();
  await second.close();
  await (await overNats()).publish("agent:a1", event(2));
  expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1, 2]);
});

test("two publishers cannot have one spool, and a publisher without one says so", async () => {
  await using rig = await createRig();
  await using directory = await createTempDirectory();
  const first = await rig.publisher({ spool: directory.path });
  await expect(rig.publisher({ spool: directory.path })).rejects.toMatchObject({ code: "spool_failed" });
  await expect((await rig.publisher()).spooled()).rejects.toThrow(TypeError);
  await first.close();
  await rig.publisher({ spool: directory.path });
});
