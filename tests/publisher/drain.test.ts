import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { createPublisher, type PublisherOptions } from "@kata/publisher";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { connectNats } from "../support/nats-connect.ts";
import { readLog } from "../support/stream.ts";
import type { DrainSaid, DrainTask } from "./drain-process.ts";
import { createRig, numbersOf, type Rig, TEAM, upTo } from "./rig.ts";

const SCRIPT = fileURLToPath(new URL("drain-process.ts", import.meta.url));
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const QUEUED = 500;
const WAIT = { timeout: 20_000, interval: 5 };

interface Draining {
  /** By publisher: how many events it has accepted, and whether it takes no more. */
  readonly accepted: readonly number[];
  readonly closed: ReadonlySet<number>;
  readonly lastWord: boolean;
  /** Listeners to SIGTERM at the start; `undefined` before. */
  readonly listeners: number | undefined;
  signal(signal: NodeJS.Signals): void;
  /** Its exit code or the signal that ended it, and all it wrote to stderr. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }>;
}

function startDraining(task: DrainTask): Draining {
  const args = ["--conditions=kata-source", "--import", "tsx", SCRIPT, JSON.stringify(task)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const accepted = task.publishers.map(() => 0);
  const closed = new Set<number>();
  const state = { lastWord: false, listeners: undefined as number | undefined };
  createInterface({ input: child.stdout }).on("line", (line) => {
    const said = JSON.parse(line) as DrainSaid;
    if ("ready" in said) state.listeners = said.listeners;
    else if ("accepted" in said) accepted[said.publisher] = said.accepted;
    else if ("closed" in said) closed.add(said.publisher);
    else state.lastWord = true;
  });
  // "close" and not "exit": then all that it said has been read.
  const exited = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  const stderr = text(child.stderr);
  return {
    accepted,
    closed,
    get lastWord() {
      return state.lastWord;
    },
    get listeners() {
      return state.listeners;
    },
    signal: (signal) => void child.kill(signal),
    ended: exited.then(async ([code, signal]) => ({ code, signal, stderr: await stderr })),
  };
}

/** A process whose publishers have some in the log, and a lot that waits because nothing gets through. */
async function waiting(rig: Rig, options: Partial<PublisherOptions>, task: Partial<DrainTask> = {}): Promise<Draining> {
  const { publishers = [options] } = task;
  const all = publishers.map((more) => ({ ...rig.where, drainOnExit: true, maxQueueBytes: 1024 * 1024, ...more }));
  const process = startDraining({ ...task, publishers: all });
  await vi.waitFor(() => expect(Math.min(...process.accepted)).toBeGreaterThan(0), WAIT);
  rig.proxy.pause();
  const before = [...process.accepted];
  await vi.waitFor(() => {
    for (const [n, accepted] of process.accepted.entries()) expect(accepted).toBeGreaterThan((before[n] ?? 0) + QUEUED);
  }, WAIT);
  return process;
}

function closed(process: Draining, count: number): Promise<void> {
  return vi.waitFor(() => expect(process.closed.size).toBe(count), WAIT);
}

async function stored(rig: Rig, publisher = 0): Promise<number[]> {
  return numbersOf(await readLog(rig.nc, `kata.team.${TEAM}.agent.a${publisher}`));
}

describe.each(["user", "http"] as const)("a process that drains on exit, over %s", (way) => {
  test.each(SIGNALS)("is sent %s: all that was accepted is in the log, then it ends by that signal", async (signal) => {
    await using rig = await createRig({ way });
    const process = await waiting(rig, {});
    process.signal(signal);
    await closed(process, 1);
    rig.proxy.resume();
    expect(await process.ended).toEqual({ code: null, signal, stderr: "" });
    expect(await stored(rig)).toEqual(upTo(process.accepted[0] ?? 0));
  });

  test("and nothing gets through: it ends by the signal all the same, and says in one line what was left", async () => {
    await using rig = await createRig({ way });
    const process = await waiting(rig, { closeTimeoutMs: 300 });
    process.signal("SIGTERM");
    // Nothing is let through: it is its own time that ends it.
    const { stderr, ...end } = await process.ended;
    expect(end).toEqual({ code: null, signal: "SIGTERM" });
    expect(stderr).toMatch(/^kata publisher: \d+ events not acknowledged within 300 ms: .+\n$/);
    const left = Number(/\d+/.exec(stderr)?.[0]);
    expect(left).toBeGreaterThan(QUEUED);
    rig.proxy.resume();
    // What was on its way may have got there.
    const log = await stored(rig);
    expect(log).toEqual(upTo(log.length));
    expect(log.length).toBeGreaterThanOrEqual((process.accepted[0] ?? 0) - left);
  });
});

describe("a process that drains on exit", () => {
  test("and finds no NATS where it was ends by the signal, and says so", async () => {
    await using rig = await createRig();
    const process = await waiting(rig, { closeTimeoutMs: 300 });
    rig.proxy.refuse(true);
    rig.proxy.cut();
    process.signal("SIGTERM");
    const { stderr, ...end } = await process.ended;
    expect(end).toEqual({ code: null, signal: "SIGTERM" });
    expect(stderr).toMatch(/^kata publisher: \d+ events not acknowledged within 300 ms: not connected to NATS\n$/);
  });

  test("has two publishers: both are drained", async () => {
    await using rig = await createRig();
    const process = await waiting(rig, {}, { publishers: [{}, {}] });
    expect(process.listeners).toBe(1);
    process.signal("SIGTERM");
    await closed(process, 2);
    rig.proxy.resume();
    expect(await process.ended).toEqual({ code: null, signal: "SIGTERM", stderr: "" });
    for (const [n, accepted] of process.accepted.entries()) expect(await stored(rig, n)).toEqual(upTo(accepted));
  });

  test("has two publishers, one of which has no way out: the other one is drained", async () => {
    await using rig = await createRig();
    await using other = await createRig();
    const process = await waiting(rig, {}, { publishers: [{ closeTimeoutMs: 500 }, { ...other.where }] });
    process.signal("SIGTERM");
    const { stderr, ...end } = await process.ended;
    expect(end).toEqual({ code: null, signal: "SIGTERM" });
    expect(stderr.split("\n")).toHaveLength(2);
    expect(await stored(other, 1)).toEqual(upTo(process.accepted[1] ?? 0));
  });

  test("is sent a second signal: it ends at once", async () => {
    await using rig = await createRig();
    const process = await waiting(rig, { closeTimeoutMs: 600_000 });
    process.signal("SIGTERM");
    await closed(process, 1);
    process.signal("SIGINT");
    // Nothing was let through, and it would have waited for minutes.
    expect(await process.ended).toEqual({ code: null, signal: "SIGINT", stderr: "" });
  });

  test.each(["on", "once", "once, before"] as const)(
    "listens to the signal itself (%s): it is drained, and ends when it wants to",
    async (own) => {
      await using rig = await createRig();
      const process = await waiting(rig, {}, { own });
      process.signal("SIGTERM");
      await closed(process, 1);
      rig.proxy.resume();
      expect(await process.ended).toEqual({ code: 7, signal: null, stderr: "" });
      expect(process.lastWord).toBe(true);
      expect(await stored(rig)).toEqual(upTo(process.accepted[0] ?? 0));
    },
  );

  test("is not what it is without the option: a signal ends it, whatever waits", async () => {
    await using rig = await createRig();
    const process = await waiting(rig, { drainOnExit: false, closeTimeoutMs: 600_000 });
    expect(process.listeners).toBe(0);
    process.signal("SIGTERM");
    expect(await process.ended).toEqual({ code: null, signal: "SIGTERM", stderr: "" });
    expect(process.closed.size).toBe(0);
  });
});

describe("listeners to signals", () => {
  const counts = (): number[] => SIGNALS.map((signal) => process.listenerCount(signal));

  test("are one for all publishers that drain on exit, and gone with the last of them", async () => {
    await using rig = await createRig();
    const before = counts();
    const more = before.map((count) => count + 1);
    const plain = await rig.publisher();
    expect(counts()).toEqual(before);
    const [first, second] = [await rig.publisher({ drainOnExit: true }), await rig.publisher({ drainOnExit: true })];
    expect(counts()).toEqual(more);
    await first.close();
    await plain.close();
    expect(counts()).toEqual(more);
    await second.close();
    expect(counts()).toEqual(before);
    const third = await rig.publisher({ drainOnExit: true });
    expect(counts()).toEqual(more);
    await third.close();
    await third.close();
    expect(counts()).toEqual(before);
  });

  test("are gone when the publisher's connection was closed, and when it could not be created", async () => {
    await using rig = await createRig();
    const before = counts();
    const connection = await connectNats(rig.nats.url);
    const publisher = await rig.publisher({ connection, drainOnExit: true });
    expect(counts()).not.toEqual(before);
    await connection.close();
    await vi.waitFor(() => expect(counts()).toEqual(before));
    await publisher.close();
    await expect(createPublisher({ connection, teamId: TEAM, drainOnExit: true })).rejects.toMatchObject({
      code: "closed",
    });
    expect(counts()).toEqual(before);
  });
});
