import { describe, expect, it } from "vitest";
import { startNats } from "../support/nats.ts";
import { REPEAT } from "../support/random.ts";
import { ensureTestStream } from "../support/stream.ts";
import { CHANNEL, eventsInLog, eventually, isRunning, kata, messagesOf, processesOf, publishing } from "./rig.ts";

const FOLLOW = ["publish", CHANNEL, "--follow", "-"];
const repeats = Array.from({ length: REPEAT }, (_, i) => i + 1);

describe("attacks invariant 3: kata publish --follow loses no line and doubles none", () => {
  it.each(repeats)("while NATS is killed and started again (%i)", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(FOLLOW, publishing(nats));
    const written: string[] = [];
    const write = (count: number) => {
      const lines = Array.from({ length: count }, () =>
        `line ${written.length + 1}`.padEnd(1 + (written.length % 300)),
      );
      for (const line of lines) written.push(`${line}#${written.length}`);
      publish.child.stdin.write(
        written
          .slice(-count)
          .map((line) => `${line}\n`)
          .join(""),
      );
    };
    write(500);
    await eventually(() => messagesOf(nats).then((all) => all.length)).toBeGreaterThan(0);
    write(5_000);
    await nats.kill();
    write(2_000);
    await publish.until(({ stderr }) => stderr.includes("the log does not answer"));
    await nats.start();
    write(500);
    publish.child.stdin.end();
    const { code, stderr } = await publish.ended;
    expect(await messagesOf(nats)).toEqual(written);
    expect(code).toBe(0);
    expect(stderr.split("\n").filter((line) => !line.includes("the log answers again"))).toEqual([
      expect.stringMatching(/^kata: the log does not answer, \d+ lines wait, trying until it has them$/),
      "kata: 8000 lines published",
      "",
    ]);
  });

  it.each(repeats)("on SIGINT: what was read is published, without half a line, which is told (%i)", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata([...FOLLOW, "--end"], publishing(nats));
    publish.child.stdin.write("one\ntwo\nthr");
    await eventually(() => messagesOf(nats)).toEqual(["one", "two"]);
    const processes = processesOf(publish.pid);
    publish.child.kill("SIGINT");
    const { code, stderr } = await publish.ended;
    expect({ code, stderr: stderr.split("\n") }).toEqual({
      code: 1,
      stderr: [
        "kata: the last line was not published: it had no line feed yet when there was no more time for it",
        "kata: 2 lines published, 1 not",
        "",
      ],
    });
    expect(await eventsInLog(nats)).toMatchObject([
      { payload: { message: "one" } },
      { payload: { message: "two" } },
      { type: "stream_ended", payload: { reason: "failed" } },
    ]);
    expect(processes.filter(isRunning)).toEqual([]);
  });

  it("on SIGINT: what stdin was given before it ends is published whole, last line and all", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(FOLLOW, publishing(nats));
    publish.child.stdin.write("one\n");
    await eventually(() => messagesOf(nats)).toEqual(["one"]);
    publish.child.kill("SIGINT");
    publish.child.stdin.end("two\nthree");
    expect(await publish.ended).toMatchObject({ code: 0, stderr: "kata: 3 lines published\n" });
    expect(await messagesOf(nats)).toEqual(["one", "two", "three"]);
  });

  it("on SIGINT while the log does not answer: what had been written and was not read yet is published, too", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata([...FOLLOW, "--end"], publishing(nats));
    publish.child.stdin.write("0\n");
    await eventually(() => messagesOf(nats)).toEqual(["0"]);
    nats.suspend();
    const lines = Array.from({ length: 18_000 }, (_, i) => `${i + 1} ${"x".repeat(100)}`);
    publish.child.stdin.write(`${lines.join("\n")}\n`);
    await publish.until(({ stderr }) => stderr.includes("lines wait"));
    // It is we who do not read.
    expect(publish.child.stdin.writableLength).toBeGreaterThan(0);
    publish.child.kill("SIGINT");
    await publish.until(({ stderr }) => stderr.includes("once more"));
    nats.resume();
    expect(await publish.ended).toMatchObject({ code: 0, stderr: expect.stringContaining("18001 lines published") });
    const events = await eventsInLog(nats);
    expect(events.pop()).toMatchObject({ type: "stream_ended", payload: { reason: "completed" } });
    expect(events.map(({ payload }) => (payload as { message: string }).message)).toEqual(["0", ...lines]);
  });

  it.each([
    ["slowly", "tick\n", 20],
    ["fast", `${"x".repeat(99)}\n`.repeat(1_000), 1],
  ])("a signal ends it also where somebody writes on, %s", async (_, text, everyMs) => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(FOLLOW, publishing(nats));
    const writing = setInterval(() => {
      if (!publish.child.stdin.writableNeedDrain) publish.child.stdin.write(text);
    }, everyMs);
    try {
      await eventually(async () => (await messagesOf(nats)).length).toBeGreaterThan(0);
      publish.child.kill("SIGTERM");
      const { signal, stderr } = await publish.ended;
      expect(signal).toBeNull();
      expect((await messagesOf(nats)).length).toBe(Number(/(\d+) lines published/.exec(stderr)?.[1]));
    } finally {
      clearInterval(writing);
    }
  });

  it("a signal waits for the log, a second one does not and says what it costs", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(FOLLOW, publishing(nats));
    publish.child.stdin.write("one\n");
    await eventually(() => messagesOf(nats)).toEqual(["one"]);
    nats.suspend();
    publish.child.stdin.end("two\nthree\n");
    // The first one may be there without its acknowledgement having come.
    await publish.until(({ stderr }) => /[23] lines wait/.test(stderr));
    const left = /([23]) lines wait/.exec(publish.stderr)?.[1];
    publish.child.kill("SIGINT");
    await publish.until(({ stderr }) => stderr.includes("once more"));
    publish.child.kill("SIGTERM");
    const { code, stderr } = await publish.ended;
    expect(code).toBe(1);
    expect(stderr.split("\n").slice(1)).toEqual([
      `kata: waiting for the log to have ${left} lines; stop once more to give them up`,
      `kata: stopped without waiting: ${left} lines were not acknowledged`,
      "",
    ]);
  });

  it("reads no further ahead of the log than sixteen records, however long that does not answer", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(FOLLOW, publishing(nats));
    publish.child.stdin.write("0\n");
    await eventually(() => messagesOf(nats)).toEqual(["0"]);
    nats.suspend();
    const lines = Array.from({ length: 200_000 }, (_, i) => String(i + 1));
    publish.child.stdin.end(`${lines.join("\n")}\n`);
    await publish.until(({ stderr }) => stderr.includes("lines wait"));
    expect(Number(/(\d+) lines wait/.exec(publish.stderr)?.[1])).toBeLessThanOrEqual(16_000);
    expect(publish.child.stdin.writableFinished).toBe(false);
    nats.resume();
    expect(await publish.ended).toMatchObject({ code: 0, stderr: expect.stringContaining("200001 lines published") });
    expect(await messagesOf(nats)).toEqual(["0", ...lines]);
  });
});
