import { appendFile, writeFile } from "node:fs/promises";
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
