import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { readLog } from "../support/stream.ts";
import type { MemoryCommand, MemoryReport, MemoryTask } from "./memory-process.ts";
import { createRig, numbersOf, type Rig, TEAM } from "./rig.ts";

const SCRIPT = fileURLToPath(new URL("memory-process.ts", import.meta.url));
const LONG = process.env.KATA_TEST_LONG === "1";
const MIB = 1024 * 1024;
/** How long NATS is away at least, milliseconds, and until how many publishes were refused. */
const AWAY_MS = LONG ? 60_000 : 0;
const REFUSED = LONG ? 1_000_000 : 100_000;
/**
 * What JavaScript holds for what waits, as a multiple of what the queue counts it for: the promise that the application
 * itself makes of each is in it, about 100 bytes.
 */
const HELD = 1.3;
/** What the process takes from the system for it at most, while the heap holds garbage, too. */
const RESIDENT = 2;
/** V8 lets garbage grow to several times of what is in use where there is memory; here it may not. */
const HEAP_MIB = 160;

/** Longer than anything takes here. JSON has no Infinity. */
const HOUR_MS = 3_600_000;

interface Publishing {
  readonly exited: Promise<unknown[]>;
  until<At extends MemoryReport["at"]>(
    at: At,
    holds?: (report: Extract<MemoryReport, { at: At }>) => boolean,
  ): Promise<Extract<MemoryReport, { at: At }>>;
  tell(command: MemoryCommand): void;
}

function startPublishing(task: MemoryTask): Publishing {
  const child = fork(SCRIPT, [JSON.stringify(task)], {
    execArgv: ["--conditions=kata-source", "--expose-gc", `--max-old-space-size=${HEAP_MIB}`, "--import", "tsx"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const reports = new Map<string, MemoryReport>();
  child.on("message", (report: MemoryReport) => reports.set(report.at, report));
  const latest = <At extends MemoryReport["at"]>(at: At) =>
    reports.get(at) as Extract<MemoryReport, { at: At }> | undefined;
  const exited = once(child, "exit");
  return {
    exited,
    tell: (command) => void child.send(command),
    async until(at, holds = () => true) {
      const seen = vi.waitFor(
        () => {
          const report = latest(at);
          if (report === undefined || !holds(report)) throw new Error(`not ${at} yet: ${JSON.stringify(report)}`);
          return report;
        },
        { timeout: 100_000 + AWAY_MS, interval: 10 },
      );
      // Of a process that has ended nothing more is heard.
      const ended = exited.then(([code]) => {
        if (code !== 0) throw new Error(`the process ended with ${code}, not ${at}`);
        return seen;
      });
      return await Promise.race([seen, ended]);
    },
  };
}

/** How NATS is away: it does not answer, or cannot be reached. */
const AWAY = {
  silent: (rig: Rig) => rig.proxy.pause(),
  gone: (rig: Rig) => {
    rig.proxy.refuse(true);
    rig.proxy.cut();
  },
};

interface Case {
  readonly what: string;
  readonly away: keyof typeof AWAY;
  readonly channels: number;
  readonly keyed: boolean;
  readonly signalled: boolean;
  readonly char: string;
  readonly textLength: number;
  readonly queueMib: number;
}

/** An event of 130 characters has a line of 230 bytes. */
const EVENTS = { channels: 1, keyed: false, signalled: false, char: "x", textLength: 130, queueMib: 64 };
const CASES: readonly Case[] = [
  { ...EVENTS, what: "one channel", away: "silent" },
  { ...EVENTS, what: "one channel", away: "gone" },
  { ...EVENTS, what: "100 channels", away: "silent", channels: 100 },
  { ...EVENTS, what: "100 channels", away: "gone", channels: 100 },
  { ...EVENTS, what: "idempotency keys", away: "silent", channels: 100, keyed: true },
  { ...EVENTS, what: "keys, not ASCII", away: "silent", channels: 100, keyed: true, char: "語", textLength: 1_000 },
  { ...EVENTS, what: "with a signal", away: "silent", signalled: true, textLength: 30 },
  { ...EVENTS, what: "large events", away: "silent", textLength: 100_000 },
];

describe("a process that publishes at full speed keeps to its queue's bound in memory, and what it accepted is stored once, in order", () => {
  test.each(CASES)("$what, NATS is $away", { timeout: 180_000 + 2 * AWAY_MS }, async ({ what, away, ...load }) => {
    await using rig = await createRig();
    const { channels, queueMib } = load;
    const options = { ...rig.where, publishTimeoutMs: HOUR_MS, maxQueueBytes: queueMib * MIB };
    const publishing = startPublishing({ options, ...load });
    const { memory: before } = await publishing.until("ready");
    publishing.tell("publish");
    // It has as much on its way as it can when NATS goes away.
    const { stored } = await publishing.until("publishing");
    await publishing.until("publishing", (report) => report.stored > stored);
    AWAY[away](rig);
    const since = performance.now();
    const { refused } = await publishing.until("publishing");
    const enough = load.textLength > 10_000 ? REFUSED / 100 : REFUSED;
    await publishing.until(
      "publishing",
      (report) => report.refused >= refused + enough && performance.now() - since >= AWAY_MS,
    );
    publishing.tell("stop");
    const { accepted, queuedEvents, queuedBytes, peak, kept } = await publishing.until("stopped");

    const held = kept.held - before.held;
    // Said with every run: the bounds below are as wide as garbage collection needs, the figures are what they are about.
    console.info(
      `${what}, ${away}: ${queuedEvents} events count ${mib(queuedBytes)}; held ${mib(held)}, ${Math.round(held / queuedEvents)} B an event; at most ${mib(peak.held - before.held)} with garbage; resident ${mib(peak.resident - before.resident)} over ${mib(before.resident)}`,
    );
    expect(queuedBytes).toBeLessThanOrEqual(queueMib * MIB);
    // Without this the bound would not have been reached.
    expect(queuedBytes).toBeGreaterThan(queueMib * MIB * 0.98);
    expect(held).toBeLessThan(queuedBytes * HELD);
    expect(peak.resident - before.resident).toBeLessThan(queueMib * MIB * RESIDENT);

    rig.proxy.refuse(false);
    rig.proxy.resume();
    expect(await publishing.until("settled")).toMatchObject({ stored: accepted, failed: 0 });
    expect(await publishing.exited).toEqual([0, null]);
    await expectInOrder(rig, channels, accepted);
  });
});

/** Event i is on channel i modulo `channels`: each channel has its own, once, in order. */
async function expectInOrder(rig: Rig, channels: number, accepted: number): Promise<void> {
  for (let channel = 0; channel < channels; channel++) {
    const numbers = numbersOf(await readLog(rig.nats.url, `kata.team.${TEAM}.agent.a${channel}`));
    expect(numbers.length).toBe(Math.ceil((accepted - channel) / channels));
    // One assertion an event is slow; this one is made where it fails.
    const wrong = numbers.findIndex((i, n) => i !== n * channels + channel);
    if (wrong !== -1) expect({ wrong, i: numbers[wrong] }).toEqual({ wrong, i: wrong * channels + channel });
  }
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
