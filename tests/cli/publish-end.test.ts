import { appendFile, readdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { ensureTestStream } from "../support/stream.ts";
import { CHANNEL, eventsInLog, eventually, kata, publishing, reading, tempDirectory } from "./rig.ts";

const ended = (reason: string) => ({ type: "stream_ended", payload: { reason } });
const line = (message: string) => ({ type: "log_entry", payload: { message } });

describe("[EVENT-6] kata publish --end", () => {
  it("alone ends a stream, and prints the end's eventId", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using publish = kata(["publish", CHANNEL, "--end"], publishing(nats));
    const { code, stdout, stderr } = await publish.ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    await using tail = kata(["tail", CHANNEL, "--json", "--until-end"], reading(broker));
    expect(await tail.ended).toMatchObject({ code: 0 });
    expect(tail.envelopes).toMatchObject([ended("completed")]);
    expect(stdout).toBe(`${tail.envelopes[0]?.eventId}\n`);
  });

  it("follows what --data publishes, with a reason", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    const args = ["publish", CHANNEL, "--data", '{"message":"last words"}', "--end", "failed"];
    await using publish = kata(args, publishing(nats));
    const { code, stdout } = await publish.ended;
    expect({ code, ids: stdout.trimEnd().split("\n").length }).toEqual({ code: 0, ids: 2 });
    expect(await eventsInLog(nats)).toMatchObject([line("last words"), ended("failed")]);
  });

  it("follows the last line of stdin", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(["publish", CHANNEL, "--follow", "-", "--end"], publishing(nats));
    publish.child.stdin.end("1\n2");
    expect(await publish.ended).toMatchObject({ code: 0, stderr: "kata: 2 lines published\n" });
    expect(await eventsInLog(nats)).toMatchObject([line("1"), line("2"), ended("completed")]);
  });

  it.each([
    ["without a state", []],
    ["with one: nobody comes back for the unfinished line", ["--state"]],
  ])("follows the last line of a file on a signal, %s", async (_, state) => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using directory = await tempDirectory();
    const file = join(directory.path, "build.log");
    await writeFile(file, "1\n");
    const more = state.flatMap((name) => [name, `${file}.state`]);
    await using publish = kata(["publish", CHANNEL, "--follow", file, ...more, "--end", "cancelled"], publishing(nats));
    await eventually(() => eventsInLog(nats)).toMatchObject([line("1")]);
    await appendFile(file, "2\nunfinished");
    publish.child.kill("SIGTERM");
    expect(await publish.ended).toMatchObject({ code: 0 });
    expect(await eventsInLog(nats)).toMatchObject([line("1"), line("2"), line("unfinished"), ended("cancelled")]);
  });

  it.each([
    ["without a state", []],
    ["with one", ["--state"]],
  ])("is all there is where a file was waited for in vain until a signal, %s", async (_, state) => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using directory = await tempDirectory();
    const file = join(directory.path, "build.log");
    const more = state.flatMap((name) => [name, `${file}.state`]);
    for (const [end, events] of [
      [[], []],
      [["--end"], [ended("completed")]],
    ] as const) {
      await using publish = kata(["publish", CHANNEL, "--follow", file, "--retry", ...more, ...end], publishing(nats));
      await publish.until(({ stderr }) => stderr.includes("waiting for it"));
      publish.child.kill("SIGINT");
      const { code, stderr } = await publish.ended;
      expect({ code, stderr: stderr.split("\n") }).toEqual({
        code: 0,
        stderr: [`kata: there is no file ${file} yet, waiting for it`, "kata: 0 lines published", ""],
      });
      expect(await eventsInLog(nats)).toMatchObject(events);
      expect(await readdir(directory.path)).toEqual([]);
    }
  });

  it("says failed of a stream that lacks a line, whatever else was asked for, as does the exit code; readers see it", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    const args = ["publish", CHANNEL, "--follow", "-", "--type", "deploy.step", "--end", "completed"];
    await using publish = kata(args, publishing(nats));
    publish.child.stdin.end('{"a":1}\nnot json\n{"a":2}\n');
    const { code, stderr } = await publish.ended;
    expect({ code, last: stderr.split("\n").at(-2) }).toEqual({ code: 1, last: "kata: 2 lines published, 1 not" });
    expect((await eventsInLog(nats)).at(-1)).toMatchObject(ended("failed"));
    await using tail = kata(["tail", CHANNEL, "--json", "--rewind", "all", "--until-end"], reading(broker));
    expect(await tail.ended).toMatchObject({ code: 3 });
  });

  it("says failed where lines were lost before they could be read", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using directory = await tempDirectory();
    const file = join(directory.path, "build.log");
    const state = `${file}.state`;
    await writeFile(file, "1\n2\n");
    const args = ["publish", CHANNEL, "--follow", file, "--state", state];
    await using first = kata(args, publishing(nats));
    await eventually(() => eventsInLog(nats)).toMatchObject([line("1"), line("2")]);
    first.child.kill("SIGTERM");
    expect(await first.ended).toMatchObject({ code: 0 });
    await writeFile(file, "3\n");
    await using second = kata([...args, "--end"], publishing(nats));
    await eventually(() => eventsInLog(nats)).toMatchObject([line("1"), line("2"), line("3")]);
    second.child.kill("SIGTERM");
    const { code, stderr } = await second.ended;
    expect({ code, stderr: stderr.split("\n") }).toEqual({
      code: 1,
      stderr: [
        `kata: what stood in ${file} behind byte 4 is not to be found: lines may be missing`,
        "kata: 1 lines published, 1 not",
        "",
      ],
    });
    expect((await eventsInLog(nats)).at(-1)).toMatchObject(ended("failed"));
  });

  it("says failed where a file was cut before it was read", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using directory = await tempDirectory();
    const file = join(directory.path, "build.log");
    await writeFile(file, "1\n");
    await using publish = kata(["publish", CHANNEL, "--follow", file, "--end"], publishing(nats));
    await eventually(() => eventsInLog(nats)).toMatchObject([line("1")]);
    nats.suspend();
    // More than is read ahead of a log that does not answer.
    await appendFile(file, `${"x".repeat(99)}\n`.repeat(60_000));
    await publish.until(({ stderr }) => stderr.includes("the log does not answer"));
    await truncate(file, 0);
    await appendFile(file, "last\n");
    nats.resume();
    await eventually(async () => (await eventsInLog(nats)).at(-1)).toMatchObject(line("last"));
    publish.child.kill("SIGTERM");
    expect(await publish.ended).toMatchObject({ code: 1, stderr: expect.stringContaining("lines are missing") });
    expect((await eventsInLog(nats)).at(-1)).toMatchObject(ended("failed"));
  });

  it("is waited for as a line is, and said so, where the log does not answer", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(["publish", CHANNEL, "--follow", "-", "--end"], publishing(nats));
    publish.child.stdin.write("1\n");
    await eventually(() => eventsInLog(nats)).toMatchObject([line("1")]);
    nats.suspend();
    publish.child.stdin.end();
    await publish.until(({ stderr }) => stderr.includes("does not answer"));
    publish.child.kill("SIGINT");
    await publish.until(({ stderr }) => stderr.includes("once more"));
    publish.child.kill("SIGTERM");
    const { code, stderr } = await publish.ended;
    expect({ code, stderr: stderr.split("\n") }).toEqual({
      code: 1,
      stderr: [
        "kata: 1 lines published",
        "kata: the log does not answer, the end of the stream waits, trying until it has it",
        "kata: waiting for the log to have the end of the stream; stop once more to give it up",
        "kata: stopped without waiting: the end of the stream was not acknowledged",
        "",
      ],
    });
  });

  it("is not said of a stream that could not be read to its end", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using directory = await tempDirectory();
    await using publish = kata(
      ["publish", CHANNEL, "--follow", join(directory.path, "none"), "--end"],
      publishing(nats),
    );
    expect(await publish.ended).toMatchObject({ code: 1, stderr: expect.stringContaining("there is no file") });
    expect(await eventsInLog(nats)).toEqual([]);
  });

  it.each([
    [["--end", ""], /payload of stream_ended: reason/],
    [["--data", "{}", "--follow", "-"], /give either --data/],
    [[], /give either --data .+ --end alone ends a stream/],
  ])("%j is one clear line and exit code 1", async (args, about) => {
    await using publish = kata(["publish", CHANNEL, ...args], { NATS_URL: "nats://127.0.0.1:1", KATA_TEAM: "demo" });
    const { code, stderr } = await publish.ended;
    expect({ code, lines: stderr.split("\n").length }).toEqual({ code: 1, lines: 2 });
    expect(stderr).toMatch(about);
  });
});
