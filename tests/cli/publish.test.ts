import { describe, expect, it } from "vitest";
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

  it("an event over 512 KiB", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    // An argument has at most 128 KiB on Linux, so that this can only be met by lines.
    await using publish = kata(["publish", CHANNEL, "--follow", "-"], publishing(nats));
    const lines = ["first", "x".repeat(600 * 1024), "third", "x".repeat(2_000_000), "x".repeat(512 * 1024), "last"];
    publish.child.stdin.end(lines.join("\n"));
    const { code, stderr } = await publish.ended;
    expect(code).toBe(1);
    expect(stderr.split("\n").sort()).toEqual([
      "",
      "kata: 3 lines published, 3 not",
      expect.stringMatching(/^kata: line 2 was not published: the event has \d+ bytes; the limit is 524288$/),
      expect.stringMatching(/^kata: line 4 was not published: it has 2000000 bytes, an event has at most 512 KiB$/),
      expect.stringMatching(/^kata: line 5 was not published: the event has \d+ bytes; the limit is 524288$/),
    ]);
    expect(await messagesOf(nats)).toEqual(["first", "third", "last"]);
  });
});
