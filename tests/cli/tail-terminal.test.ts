import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { createSource } from "./publishing.ts";
import { CHANNEL, kata, kataInShell, reading } from "./rig.ts";

const ESC = "\x1b";
/** util-linux's, which runs a command at a terminal of its own. */
const hasScript = spawnSync("script", ["-qec", "true", "/dev/null"]).status === 0;
const AT_TERMINAL = 'exec script -qfec "\\"$1\\" \\"$2\\" tail $3 --rewind all" /dev/null';

describe("kata tail and terminals", () => {
  it("prints no escape codes where stdout is no terminal", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish("hello");
    await using tail = kata(["tail", CHANNEL, "--rewind", "all"], reading(broker));
    await tail.until(({ lines }) => lines.length === 1);
    expect(tail.stdout).not.toContain(ESC);
  });

  it.skipIf(!hasScript).each([
    ["colours a terminal", {}, true],
    ["but not with NO_COLOR", { NO_COLOR: "1" }, false],
    ["nor a terminal that cannot", { TERM: "dumb" }, false],
  ])("%s", async (_, env, coloured) => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish("hello");
    await using terminal = kataInShell(AT_TERMINAL, [CHANNEL], { ...reading(broker), ...env });
    await terminal.until(({ stdout }) => stdout.includes("hello"));
    expect(terminal.stdout.includes(ESC)).toBe(coloured);
  });

  it("shows a producer's control characters instead of sending them", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    const hostile = `${ESC}[2J${ESC}]0;title\x07 \u009b31m \x7f \r overwritten \n second line \u202e tfel`;
    await source.publish(hostile);
    await source.publisher.publish(CHANNEL, { type: "custom.type", payload: { [hostile]: hostile } });
    await source.publisher.publish(CHANNEL, {
      type: "log_entry",
      payload: { message: "m", source: hostile, level: "info", fields: { hostile } },
    });
    await using tail = kata(["tail", CHANNEL, "--rewind", "all"], reading(broker));
    await tail.until(({ lines }) => lines.length >= 3);
    expect(tail.lines).toHaveLength(3);
    expect(tail.stdout.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(tail.lines[0]).toContain(
      String.raw`\x1b[2J\x1b]0;title\x07 \x9b31m \x7f \r overwritten \n second line \u202e tfel`,
    );
  });
});
