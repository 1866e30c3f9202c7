import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { spawnBroker, startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { CHANNEL, eventually, kata, messagesOf, reading, tempDirectory } from "./rig.ts";

describe("kata publish to a broker over HTTP", () => {
  it("publishes an event and lines, with the key alone, where --url or the environment names the broker", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    const env = { KATA_API_KEY: broker.apiKey };
    await using one = kata(["publish", CHANNEL, "--data", '{"message":"one"}', "--url", broker.httpUrl], env);
    expect(await one.ended).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\w+-1-\w{4}\n$/), stderr: "" });
    await using lines = kata(["publish", CHANNEL, "--follow", "-"], reading(broker));
    lines.child.stdin.end("two\nthree\r\n");
    expect(await lines.ended).toMatchObject({ code: 0, stderr: "kata: 2 lines published\n" });
    expect(await messagesOf(nats)).toEqual(["one", "two", "three\r"]);
  });

  it.each([
    ["as tail takes it", (url: string) => url],
    ["with a slash behind", (url: string) => `${url}/`],
  ])("takes the broker's WebSocket URL %s", async (_, urlOf) => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    const args = ["publish", CHANNEL, "--data", '{"message":"one"}', "--url", urlOf(broker.wsUrl)];
    await using publish = kata(args, { KATA_API_KEY: broker.apiKey });
    expect(await publish.ended).toMatchObject({ code: 0, stderr: "" });
    expect(await messagesOf(nats)).toEqual(["one"]);
  });

  it("waits for a broker that is gone, and goes on after a kill, with each line once", async () => {
    await using nats = await startNats();
    await using broker = await spawnBroker({ nats });
    await using directory = await tempDirectory();
    const file = join(directory.path, "build.log");
    const args = ["publish", CHANNEL, "--follow", file, "--state", `${file}.state`, "--url", broker.httpUrl];
    await writeFile(file, "1\n");
    await using first = kata(args, { KATA_API_KEY: broker.apiKey });
    await eventually(() => messagesOf(nats)).toEqual(["1"]);
    await broker.kill();
    await writeFile(file, "2\n3\n", { flag: "a" });
    // How many wait depends on whether the broker had answered for the first one before it was killed.
    await first.until(({ stderr }) => stderr.includes("the log does not answer, "));
    first.child.kill("SIGKILL");
    await first.ended;
    await broker.start();
    await writeFile(file, "4\n", { flag: "a" });
    await using second = kata(args, { KATA_API_KEY: broker.apiKey });
    await eventually(() => messagesOf(nats)).toEqual(["1", "2", "3", "4"]);
    second.child.kill("SIGTERM");
    expect(await second.ended).toMatchObject({ code: 0 });
  });

  it.each([
    ["two places", ["--url", "http://h", "--nats", "nats://n"], /give --url for a broker or --nats for NATS, not both/],
    ["no broker's URL", ["--url", "nats://n"], /--url takes where the broker is: https:\/\/host, or ws:/],
    [
      "a user",
      ["--url", "http://me:secret@h"],
      /^kata: the broker's URL (?!.*secret).+ takes no user, password or query: give the API key as /,
    ],
    [
      "a query",
      ["--url", "ws://h/ws?token=secret"],
      /^kata: the broker's URL (?!.*secret).+ takes no user, password or query: /,
    ],
    ["a broker that is not there", ["--url", "http://127.0.0.1:1"], /127\.0\.0\.1:1/],
  ])("%s: one clear line and exit code 1", async (_, args, about) => {
    const given = ["publish", CHANNEL, "--data", '{"message":"x"}', "--api-key", "k", ...args];
    await using publish = kata(given, {});
    const { code, stderr } = await publish.ended;
    expect({ code, lines: stderr.split("\n").length }).toEqual({ code: 1, lines: 2 });
    expect(stderr).toMatch(about);
  });
});
