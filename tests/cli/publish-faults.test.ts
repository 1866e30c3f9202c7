import { describe, expect, it } from "vitest";
import { startNats } from "../support/nats.ts";
import { REPEAT } from "../support/random.ts";
import { ensureTestStream } from "../support/stream.ts";
import { CHANNEL, eventually, isRunning, kata, messagesOf, processesOf, publishing } from "./rig.ts";

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

  it.each(repeats)("on SIGINT: what was read is published, the last line too (%i)", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(FOLLOW, publishing(nats));
    publish.child.stdin.write("one\ntwo\nthree");
    await eventually(() => messagesOf(nats)).toEqual(["one", "two"]);
    const processes = processesOf(publish.pid);
    publish.child.kill("SIGINT");
    expect(await publish.ended).toMatchObject({ code: 0, stderr: "kata: 3 lines published\n" });
    expect(await messagesOf(nats)).toEqual(["one", "two", "three"]);
    expect(processes.filter(isRunning)).toEqual([]);
  });

  it("a signal waits for the log, a second one does not and says what it costs", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(FOLLOW, publishing(nats));
    publish.child.stdin.write("one\n");
    await eventually(() => messagesOf(nats)).toEqual(["one"]);
    nats.suspend();
    publish.child.stdin.end("two\nthree\n");
    await publish.until(({ stderr }) => stderr.includes("2 lines wait"));
    publish.child.kill("SIGINT");
    await publish.until(({ stderr }) => stderr.includes("once more"));
    publish.child.kill("SIGTERM");
    const { code, stderr } = await publish.ended;
    expect(code).toBe(1);
    expect(stderr.split("\n").slice(1)).toEqual([
      "kata: waiting for the log to have 2 lines; stop once more to give them up",
      "kata: stopped without waiting: 2 lines were not acknowledged",
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
