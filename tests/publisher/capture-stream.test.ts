import { spawn } from "node:child_process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { describe, expect, test } from "vitest";
import { captureStream, createWritable } from "../../publisher-sdk/src/capture.ts";
import type { LineText } from "../../publisher-sdk/src/line-cutter.ts";
import { kata, publishing } from "../cli/rig.ts";
import { readLog } from "../support/stream.ts";
import { createRig, TEAM } from "./rig.ts";

const CHANNEL = "agent:app";

interface Payload extends LineText {
  readonly level?: string;
  readonly source?: string;
}

async function payloads(nc: Parameters<typeof readLog>[0]): Promise<Payload[]> {
  return (await readLog(nc)).flatMap(({ lines }) => lines.map((line) => JSON.parse(line).payload));
}

/** Lets everything run that is due, so many times over. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
}

describe("a captured stream", () => {
  test("a child's output is in the log line by line, in order, when it is said to be", async () => {
    await using rig = await createRig();
    const publisher = await rig.publisher();
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the child's
    const program = "for (let i = 0; i < 30_000; i++) console.log(`line ${i} ä`); process.stdout.write('the end')";
    const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
    const result = await captureStream(publisher, CHANNEL, child.stdout, { source: "child", level: "info" });
    expect(result).toEqual({ events: 30_001, lost: 0 });
    const log = await payloads(rig.nc);
    expect(log[7]).toEqual({ message: "line 7 ä", level: "info", source: "child" });
    expect(log.map(({ message }) => message)).toEqual([
      ...Array.from({ length: 30_000 }, (_, i) => `line ${i} ä`),
      "the end",
    ]);
  });

  test("is read no further while too much is on its way, and nothing of it is lost", async () => {
    await using rig = await createRig();
    const publisher = await rig.publisher({ maxQueueBytes: 1024 * 1024 });
    await publisher.publish(CHANNEL, { type: "log_entry", payload: { message: "first" } });
    rig.proxy.pause();
    const chunks = 100;
    let read = 0;
    const source = async function* () {
      for (; read < chunks; read++) yield `${`${read} `.padEnd(99, "x")}\n`.repeat(500);
    };
    const captured = captureStream(publisher, CHANNEL, source());
    await expect.poll(() => read).toBeGreaterThan(3);
    // Without being held up it would have ended by then: each chunk takes a turn.
    await turns(10 * chunks);
    expect(read).toBeLessThan(chunks / 2);
    expect(publisher.stats.queuedBytes).toBeLessThanOrEqual(1024 * 1024);
    rig.proxy.resume();
    expect(await captured).toEqual({ events: chunks * 500, lost: 0 });
    const numbers = (await payloads(rig.nc)).slice(1).map(({ message }) => Number(message.split(" ")[0]));
    expect(numbers).toEqual(Array.from({ length: chunks * 500 }, (_, i) => Math.floor(i / 500)));
  });

  test("that breaks is rejected with its own error, when what came before is in the log", async () => {
    await using rig = await createRig();
    const publisher = await rig.publisher();
    const source = async function* () {
      yield "one\ntwo\nthr";
      throw new Error("the disk is gone");
    };
    await expect(captureStream(publisher, CHANNEL, source())).rejects.toThrow("the disk is gone");
    expect((await payloads(rig.nc)).map(({ message }) => message)).toEqual(["one", "two", "thr"]);
  });

  test("whose lines nobody takes is read to its end, and says what was lost", async () => {
    await using rig = await createRig();
    const publisher = await rig.publisher();
    const codes: unknown[] = [];
    const onError = (error: Error & { code?: string }, lost: number) => codes.push([error.code, lost]);
    const result = await captureStream(publisher, "agent:a.b", Readable.from(["a\nb\n", "c\n"]), { onError });
    expect(result).toEqual({ events: 0, lost: 3 });
    expect(codes).toEqual(Array(3).fill(["invalid_channel", 1]));
  });

  test("an event that the log does not take is lost alone", async () => {
    await using rig = await createRig();
    const publisher = await rig.publisher({ maxEventBytes: 1_000 });
    const lost: unknown[] = [];
    const onError = (error: Error & { code?: string }) => lost.push(error.code);
    const lines = ["a", "x".repeat(2_000), "b", "c"];
    const result = await captureStream(publisher, CHANNEL, Readable.from([`${lines.join("\n")}\n`]), { onError });
    expect(result).toEqual({ events: 3, lost: 1 });
    expect(lost).toEqual(["too_large"]);
    expect((await payloads(rig.nc)).map(({ message }) => message)).toEqual(["a", "b", "c"]);
  });
});

describe("a writable", () => {
  test("finishes when the log has all of it, and leaves the publisher open", async () => {
    await using rig = await createRig();
    const publisher = await rig.publisher();
    const lines = Array.from({ length: 5_000 }, (_, i) => `line ${i}\n`);
    await pipeline(Readable.from(lines), createWritable(publisher, CHANNEL, { level: "warn" }));
    expect(publisher.stats.queuedEvents).toBe(0);
    const log = await payloads(rig.nc);
    expect(log.map(({ message }) => `${message}\n`)).toEqual(lines);
    expect(log.every(({ level }) => level === "warn")).toBe(true);
    await publisher.publish(CHANNEL, { type: "log_entry", payload: { message: "open" } });
  });

  test("asks its writer to wait while NATS is away, however long, and goes on when it is back", async () => {
    await using rig = await createRig();
    const publisher = await rig.publisher({ publishTimeoutMs: 300 });
    const writable = createWritable(publisher, CHANNEL);
    await publisher.publish(`team:${TEAM}`, { type: "log_entry", payload: { message: "connected" } });
    rig.proxy.pause();
    let written = 0;
    while (writable.write(`${String(written).padEnd(999, "x")}\n`)) {
      written++;
      if (written % 1_000 === 0) await turns(5);
    }
    // An event of the application's own is given up meanwhile; the log's are not.
    await expect(
      publisher.publish(`team:${TEAM}`, { type: "log_entry", payload: { message: "m" } }),
    ).rejects.toMatchObject({ code: "unavailable" });
    const drained = new Promise((resolve) => writable.once("drain", resolve));
    rig.proxy.resume();
    await drained;
    await new Promise<void>((resolve) => writable.end(resolve));
    const numbers = (await readLog(rig.nc, "kata.team.t1.agent.app")).flatMap(({ lines }) =>
      lines.map((line) => Number.parseInt(JSON.parse(line).payload.message, 10)),
    );
    expect(numbers).toEqual(Array.from({ length: written + 1 }, (_, i) => i));
  });
});

test("a writer that does not wait loses lines, and is told so, before it fills the memory", async () => {
  await using rig = await createRig();
  const publisher = await rig.publisher({ maxQueueBytes: 1024 * 1024 });
  let lost = 0;
  const codes = new Set<unknown>();
  const onError = (error: Error & { code?: string }, lines: number) => {
    lost += lines;
    codes.add(error.code);
  };
  await publisher.publish(CHANNEL, { type: "log_entry", payload: { message: "first" } });
  rig.proxy.pause();
  const writable = createWritable(publisher, CHANNEL, { onError });
  const chunks = 80;
  const linesOf = (chunk: number) => `${chunk}${"x".repeat(200_000)}\n`.repeat(5);
  for (let chunk = 0; chunk < chunks; chunk++) writable.write(linesOf(chunk));
  expect(writable.writableLength).toBeLessThan(66 * 1024 * 1024);
  expect([...codes]).toEqual(["queue_full"]);
  rig.proxy.resume();
  await new Promise<void>((resolve) => writable.end(resolve));
  const numbers = (await payloads(rig.nc)).slice(1).map(({ message }) => Number.parseInt(message, 10));
  expect(numbers).toEqual(Array.from({ length: chunks * 5 - lost }, (_, i) => Math.floor(i / 5)));
});

test("lines are cut as `kata publish --follow` cuts them", async () => {
  await using rig = await createRig();
  const publisher = await rig.publisher();
  const pieces = ["a\r\n\n", "ä".repeat(100_000), "\n", "\u0001".repeat(300_000), "\nshort\n", "x".repeat(2e6), "\n€"];
  const bytes = Buffer.concat([...pieces.map((piece) => Buffer.from(piece)), Buffer.from([0xff, 10, 0xfe])]);
  await captureStream(publisher, CHANNEL, Readable.from([bytes]));
  await using follow = kata(["publish", CHANNEL, "--follow", "-"], { ...publishing(rig.nats), KATA_TEAM: TEAM });
  follow.child.stdin.end(bytes);
  expect(await follow.ended).toMatchObject({ code: 0 });
  const all = (await payloads(rig.nc)).map(({ message, bytes, part, more }) => ({ message, bytes, part, more }));
  expect(all.length).toBeGreaterThan(70);
  expect(all.slice(0, all.length / 2)).toEqual(all.slice(all.length / 2));
});
