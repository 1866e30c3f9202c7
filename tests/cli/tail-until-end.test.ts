import { streamEnded } from "@kata/publisher";
import { describe, expect, it } from "vitest";
import { startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { startProxy } from "../support/proxy.ts";
import { createSource, type Source } from "./publishing.ts";
import { CHANNEL, eventually, kata, reading, startRelay } from "./rig.ts";

const end = async ({ publisher, acked }: Source, reason = "completed") => {
  acked.push((await publisher.publish(CHANNEL, streamEnded({ reason }))).eventId);
};
/** What `--json` printed: the message of a log entry, the reason of an end. */
const said = (stdout: string) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { payload: { message?: string; reason?: string } })
    .map(({ payload }) => payload.message ?? `ended: ${payload.reason}`);
const idsOf = (stdout: string) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { eventId: string }).eventId);

describe("[EVENT-6] kata tail --until-end", () => {
  it("prints a finished log from its start, and exits with 0", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish("first", "second");
    await end(source);
    await using tail = kata(["tail", CHANNEL, "--until-end", "--rewind", "all"], reading(broker));
    const { code, stdout, stderr } = await tail.ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.trimEnd().split("\n")).toEqual([
      expect.stringMatching(/INFO {2}first$/),
      expect.stringMatching(/INFO {2}second$/),
      expect.stringMatching(/ stream_ended \{"reason":"completed"\}$/),
    ]);
  });

  it.each([
    [
      ["--rewind", "2"],
      ["second", "ended: completed"],
    ],
    [[], ["ended: completed"]],
  ])("exits at once where the log is finished, and starts with %j", async (start, expected) => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish("first", "second");
    await end(source);
    await using tail = kata(["tail", CHANNEL, "--json", "--until-end", ...start], reading(broker));
    const { code, stdout } = await tail.ended;
    expect({ code, said: said(stdout) }).toEqual({ code: 0, said: expected });
  });

  it("waits for the end of a log that goes on, and prints nothing after it", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish("old", "newest");
    await using tail = kata(["tail", CHANNEL, "--json", "--until-end"], reading(broker));
    await tail.until(({ lines }) => lines.length === 1);
    // Live once something that was published after its start is seen.
    await source.publishWhile(tail.until(({ lines }) => lines.length > 1));
    await source.publisher.publishMany(CHANNEL, [
      { type: "log_entry", payload: { message: "last" } },
      streamEnded({ reason: "completed" }),
      { type: "log_entry", payload: { message: "of the next run" } },
    ]);
    const { code, stdout } = await tail.ended;
    expect(code).toBe(0);
    expect(said(stdout)[0]).toBe("newest");
    expect(said(stdout).slice(-2)).toEqual(["last", "ended: completed"]);
  });

  it("goes over an end that the stream was taken up again after, and exits at the next one", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish("run 1");
    await end(source, "failed");
    await source.publish("run 2");
    await using tail = kata(["tail", CHANNEL, "--json", "--until-end", "--rewind", "all"], reading(broker));
    await tail.until(({ lines }) => lines.length === 3);
    await source.publishWhile(tail.until(({ lines }) => lines.length > 3));
    await end(source);
    const { code, stdout } = await tail.ended;
    expect(code).toBe(0);
    expect(said(stdout).slice(0, 3)).toEqual(["run 1", "ended: failed", "run 2"]);
    expect(idsOf(stdout)).toEqual(source.acked);
  });

  it("prints two finished runs whole", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish("run 1");
    await end(source, "failed");
    await source.publish("run 2");
    await end(source);
    await using tail = kata(["tail", CHANNEL, "--json", "--until-end", "--rewind", "all"], reading(broker));
    const { code, stdout } = await tail.ended;
    expect({ code, said: said(stdout) }).toEqual({
      code: 0,
      said: ["run 1", "ended: failed", "run 2", "ended: completed"],
    });
  });

  it("--since the end itself waits for the end of the next run", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish("run 1");
    await end(source);
    const since = source.acked.at(-1) ?? "";
    await using tail = kata(["tail", CHANNEL, "--json", "--until-end", "--since", since], reading(broker));
    await source.publishUntilSeen(tail);
    await end(source, "cancelled");
    const { code, stdout } = await tail.ended;
    expect(code).toBe(3);
    expect(idsOf(stdout)).toEqual(source.acked.slice(2));
  });

  it.each([
    ["failed", 3],
    ["cancelled", 3],
    ["out of coffee", 0],
  ])("the reason %j is exit code %i", async (reason, expected) => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await end(source, reason);
    await using tail = kata(["tail", CHANNEL, "--json", "--until-end"], reading(broker));
    const { code, stdout } = await tail.ended;
    expect({ code, said: said(stdout) }).toEqual({ code: expected, said: [`ended: ${reason}`] });
  });

  it("finds the end that came while the connection was lost, though another run has begun", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using proxy = await startProxy({ port: broker.port });
    await using source = await createSource(nats);
    await using tail = kata(
      ["tail", CHANNEL, "--json", "--until-end", "--rewind", "0"],
      reading({ ...broker, wsUrl: `ws://127.0.0.1:${proxy.port}` }),
    );
    await source.publishUntilSeen(tail);
    proxy.refuse(true);
    proxy.cut();
    await tail.until(({ stderr }) => stderr.includes("lost the connection"));
    await end(source);
    const ended = source.acked.at(-1);
    await source.publish("of the next run");
    proxy.refuse(false);
    const { code, stdout } = await tail.ended;
    expect(code).toBe(0);
    expect(idsOf(stdout).at(-1)).toBe(ended);
    expect(idsOf(stdout)).toEqual(source.acked.slice(source.acked.indexOf(idsOf(stdout)[0] ?? ""), -1));
  });

  it("gives everything to a reader that did not read until it was through", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    const big = "x".repeat(50_000);
    for (let i = 0; i < 40; i++) await source.publish(`${i} ${big}`);
    await end(source, "failed");
    await using proxy = await startProxy({ port: broker.port });
    await using tail = kata(
      ["tail", CHANNEL, "--json", "--until-end", "--rewind", "all"],
      reading({ ...broker, wsUrl: `ws://127.0.0.1:${proxy.port}` }),
    );
    tail.child.stdout.pause();
    // It has read all and closed its connection; what waits for us is less than what makes it stop reading.
    await eventually(() => [proxy.connections, proxy.open]).toEqual([1, 0]);
    expect(tail.child.exitCode).toBeNull();
    tail.child.stdout.resume();
    const { code, stdout } = await tail.ended;
    expect(code).toBe(3);
    expect(idsOf(stdout)).toEqual(source.acked);
  });

  it("gives everything to a reader for which it had to leave and come back", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using relay = await startRelay(broker.wsUrl);
    await using source = await createSource(nats);
    const big = "x".repeat(50_000);
    await source.publish("run 1");
    await end(source);
    for (let i = 0; i < 200; i++) await source.publish(`${i} ${big}`);
    await end(source);
    await using tail = kata(
      ["tail", CHANNEL, "--json", "--until-end", "--rewind", "all"],
      reading({ ...broker, wsUrl: relay.wsUrl }),
    );
    tail.child.stdout.pause();
    await eventually(() => relay.commands.some(({ type }) => type === "unsubscribe")).toBe(true);
    tail.child.stdout.resume();
    const { code, stdout } = await tail.ended;
    expect(code).toBe(0);
    expect(idsOf(stdout)).toEqual(source.acked);
  });
});
