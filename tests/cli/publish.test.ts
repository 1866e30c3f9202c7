import { describe, expect, it } from "vitest";
import type { LinePayload } from "../../broker/src/cli/log-entries.ts";
import { startBroker } from "../support/broker.ts";
import { freePort } from "../support/free-port.ts";
import { startNats } from "../support/nats.ts";
import { CALLOUT } from "../support/nats-secrets.ts";
import { ensureTestStream } from "../support/stream.ts";
import { CHANNEL, eventsInLog, kata, messagesOf, publishing, reading } from "./rig.ts";

const TASK = { taskId: "t1", result: "ok", emoji: "🐟" };

describe("kata publish --data", () => {
  it("prints the eventId that a reader sees", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    const args = ["publish", CHANNEL, "--type", "task_completed", "--data", JSON.stringify(TASK)];
    await using publish = kata(args, publishing(nats));
    const { code, stdout, stderr } = await publish.ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    await using tail = kata(["tail", CHANNEL, "--json", "--rewind", "1"], reading(broker));
    await tail.until(({ lines }) => lines.length === 1);
    expect(tail.envelopes[0]).toMatchObject({ type: "task_completed", channel: CHANNEL, payload: TASK });
    expect(stdout).toBe(`${tail.envelopes[0]?.eventId}\n`);
  });

  it("publishes with an API key alone, whose team it need not be told; another team's key is refused", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats, config: CALLOUT });
    const env = { NATS_URL: nats.publicUrl, KATA_API_KEY: broker.apiKey };
    await using publish = kata(["publish", "team:demo", "--data", '{"message":"hello"}'], env);
    expect(await publish.ended).toMatchObject({ code: 0, stderr: "" });
    expect(await messagesOf(nats, "team:demo")).toEqual(["hello"]);
    await using other = kata(["publish", CHANNEL, "--data", '{"message":"x"}', "--team", "other"], env);
    expect(await other.ended).toMatchObject({
      code: 1,
      stderr: "kata: the API key is of team demo, not of other\n",
    });
    await using wrong = kata(["publish", CHANNEL, "--data", '{"message":"x"}', "--api-key", "wrong"], env);
    expect(await wrong.ended).toMatchObject({
      code: 1,
      stderr: `kata: NATS at ${nats.publicUrl} refused the credentials\n`,
    });
  });

  it("publishes to the team's own channel, and types of the application's own with any payload", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    const args = ["publish", "team:demo", "--type", "deploy.done", "--data", "[1, null]"];
    await using publish = kata(args, publishing(nats));
    expect(await publish.ended).toMatchObject({ code: 0, stderr: "" });
    expect(await eventsInLog(nats, "team:demo")).toMatchObject([{ type: "deploy.done", payload: [1, null] }]);
  });
});

describe("what kata publish cannot do is one clear line and exit code 1", () => {
  const given = ["--nats", "nats://127.0.0.1:1", "--team", "demo"];
  const data = ["--data", '{"message":"x"}'];
  it.each([
    ["no channel", ["publish", "build", ...given, ...data], {}, /build is no channel: team:\{id\}/],
    ["another team's channel", ["publish", "team:a", ...given, ...data], {}, /team:a does not belong to team demo/],
    ["two things", ["publish", CHANNEL, ...given, ...data, "--follow", "-"], {}, /give either --data/],
    ["no JSON", ["publish", CHANNEL, ...given, "--data", "{\n\x1b"], {}, /not JSON: \{\\n\\x1b/],
    ["a payload of another shape", ["publish", CHANNEL, ...given, "--data", "{}"], {}, /payload of log_entry: message/],
    ["no type", ["publish", CHANNEL, ...given, ...data, "--type", "A b"], {}, /A b is no event type/],
    ["no NATS known", ["publish", CHANNEL, ...data], {}, /no NATS is known: run "npm start" here, or set NATS_URL/],
    ["no team id", ["publish", CHANNEL, ...data, "--nats", "a", "--team", "t.>"], {}, /teamId/],
  ])("%s", async (_, args, env, about) => {
    await using publish = kata(args, env);
    const ended = await publish.ended;
    expect(ended).toMatchObject({ code: 1, signal: null, stdout: "" });
    expect(ended.stderr).toMatch(/^kata: .+\n$/);
    expect(ended.stderr).toMatch(about);
  });

  it.each([
    ["one event", ["--data", '{"message":"x"}']],
    ["lines", ["--follow", "-"]],
  ])("NATS that does not answer, for %s", async (_, what) => {
    const url = `nats://127.0.0.1:${await freePort()}`;
    await using publish = kata(["publish", CHANNEL, ...what], publishing({ url }));
    expect(await publish.ended).toMatchObject({
      code: 1,
      stdout: "",
      stderr: `kata: cannot connect to NATS at ${url}: connection refused\n`,
    });
  });

  it("a payload over 512 KiB", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    // An argument has at most 128 KiB on Linux, so that this can only be met by lines.
    await using publish = kata(["publish", CHANNEL, "--type", "own", "--follow", "-"], publishing(nats));
    const lines = [
      "1",
      "x".repeat(600 * 1024),
      "x".repeat(2_000_000),
      "x".repeat(520 * 1024),
      "x".repeat(510 * 1024),
      "2",
    ];
    publish.child.stdin.end(lines.map((line) => JSON.stringify(line)).join("\n"));
    const { code, stderr } = await publish.ended;
    expect(code).toBe(1);
    expect(stderr.split("\n")).toEqual([
      "kata: line 2 was not published: it is too long, an event has at most 512 KiB",
      "kata: line 3 was not published: it is too long, an event has at most 512 KiB",
      "kata: line 4 was not published: it is too long, an event has at most 512 KiB",
      "kata: 3 lines published, 3 not",
      "",
    ]);
    expect((await eventsInLog(nats)).map(({ payload }) => payload)).toEqual(["1", lines[4], "2"]);
  });
});

describe("lines that the log refuses", () => {
  it("end the following at the first of them, with one line that says why", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats, config: CALLOUT });
    const env = { NATS_URL: nats.publicUrl, KATA_API_KEY: broker.apiKey };
    await using publish = kata(["publish", "team:other", "--follow", "-"], env);
    // It is not waited for that stdin ends.
    publish.child.stdin.write("1\n2\n3\n");
    const { code, stderr } = await publish.ended;
    expect(code).toBe(1);
    expect(stderr.split("\n")).toEqual([
      "kata: 0 lines published, 3 not",
      expect.stringMatching(/^kata: .*team:other/),
      "",
    ]);
  });
});

describe("a line that no event can hold", () => {
  it("is published in parts that are put together again, between lines that are not", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(["publish", CHANNEL, "--follow", "-"], publishing(nats));
    const latin1 = Buffer.from("\xe9".repeat(300_000), "latin1");
    const lines = [
      "first",
      "x".repeat(600 * 1024),
      "third",
      "🐟".repeat(500_000),
      "\0".repeat(100_000),
      latin1,
      "last",
    ].map((line) => Buffer.from(line));
    publish.child.stdin.end(Buffer.concat(lines.flatMap((line) => [line, Buffer.from("\n")])));
    expect(await publish.ended).toMatchObject({ code: 0, stderr: `kata: ${lines.length} lines published\n` });
    const together: Buffer[] = [];
    let parts: Buffer[] = [];
    for (const { payload } of await eventsInLog(nats)) {
      const { message, bytes, part, more } = payload as LinePayload;
      expect(part ?? 1).toBe(parts.length + 1);
      parts.push(bytes === undefined ? Buffer.from(message) : Buffer.from(bytes, "base64"));
      // Cut between characters.
      if (bytes === undefined) expect(message).not.toContain("\ufffd");
      if (more === true) continue;
      together.push(Buffer.concat(parts));
      parts = [];
    }
    expect(together.map((line) => line.length)).toEqual(lines.map((line) => line.length));
    expect(together.every((line, i) => line.equals(lines[i] as Buffer))).toBe(true);
  });
});
