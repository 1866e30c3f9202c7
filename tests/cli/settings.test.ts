import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startBroker, TEST_KEY, TEST_TEAM } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { CHANNEL, kata, messagesOf, publishing, reading, tempDirectory } from "./rig.ts";

const DATA = ["--data", '{"message":"hello"}'];

describe("where the CLI learns of a broker", () => {
  it("from dev.json in KATA_DATA_DIR", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using directory = await tempDirectory();
    const { httpUrl, wsUrl } = broker;
    const dev = { httpUrl, wsUrl, natsUrl: nats.url, teamId: TEST_TEAM, apiKey: TEST_KEY, more: [1] };
    await writeFile(join(directory.path, "dev.json"), JSON.stringify(dev));
    const env = { KATA_DATA_DIR: directory.path };
    await using publish = kata(["publish", CHANNEL, ...DATA], env);
    expect(await publish.ended).toMatchObject({ code: 0, stderr: "" });
    await using tail = kata(["tail", CHANNEL, "--rewind", "all"], env);
    await tail.until(({ lines }) => lines.length === 1);
    expect(tail.lines[0]).toContain("hello");
  });

  it("from the environment before dev.json, and from the command line before the environment", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using directory = await tempDirectory();
    const nowhere = "127.0.0.1:1";
    const dev = { httpUrl: "x", wsUrl: `ws://${nowhere}`, natsUrl: nowhere, teamId: "other", apiKey: "wrong" };
    await writeFile(join(directory.path, "dev.json"), JSON.stringify(dev));
    const env = { KATA_DATA_DIR: directory.path };
    await using byEnvironment = kata(["publish", CHANNEL, ...DATA], { ...env, ...publishing(nats) });
    expect(await byEnvironment.ended).toMatchObject({ code: 0, stderr: "" });
    const wrong = {
      ...env,
      NATS_URL: nowhere,
      KATA_TEAM: "other",
      KATA_URL: "ws://127.0.0.1:1",
      KATA_API_KEY: "wrong",
    };
    await using byOption = kata(["publish", CHANNEL, ...DATA, "--nats", nats.url, "--team", TEST_TEAM], wrong);
    expect(await byOption.ended).toMatchObject({ code: 0, stderr: "" });
    expect(await messagesOf(nats)).toEqual(["hello", "hello"]);
    const where = ["--url", broker.httpUrl, "--api-key", TEST_KEY];
    await using tail = kata(["tail", CHANNEL, "--rewind", "all", ...where], wrong);
    await tail.until(({ lines }) => lines.length === 2);
    await using inherited = kata(["tail", CHANNEL, "--rewind", "all"], { ...env, ...reading(broker) });
    await inherited.until(({ lines }) => lines.length === 2);
  });

  it("a damaged dev.json is one line and exit code 1", async () => {
    await using directory = await tempDirectory();
    const file = join(directory.path, "dev.json");
    await writeFile(file, '{"wsUrl":');
    await using tail = kata(["tail", CHANNEL], { KATA_DATA_DIR: directory.path });
    expect(await tail.ended).toMatchObject({
      code: 1,
      stdout: "",
      stderr: `kata: ${file} is damaged: run "npm start" again, it writes it anew\n`,
    });
  });

  it("dev.json is not read where the environment says everything", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using directory = await tempDirectory();
    await writeFile(join(directory.path, "dev.json"), "damaged");
    const env = { KATA_DATA_DIR: directory.path };
    await using publish = kata(["publish", CHANNEL, ...DATA], { ...env, ...publishing(nats) });
    expect(await publish.ended).toMatchObject({ code: 0 });
    await using tail = kata(["tail", CHANNEL, "--rewind", "all"], { ...env, ...reading(broker) });
    await tail.until(({ lines }) => lines.length === 1);
  });
});
