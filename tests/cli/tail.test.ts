import { OutboundMessageSchema } from "@kata/protocol";
import { formatEventId } from "@kata/protocol/wire";
import { describe, expect, it } from "vitest";
import { startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { createSource } from "./publishing.ts";
import { CHANNEL, kata, kataInShell, reading } from "./rig.ts";

const count = (n: number, from = 1) => Array.from({ length: n }, (_, i) => `message ${from + i}`);

describe("kata tail", () => {
  it("prints events as they come, a line each", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await using tail = kata(["tail", CHANNEL], reading(broker));
    await source.publishUntilSeen(tail);
    await source.publish("one more", "and the last");
    await tail.until(({ stdout }) => stdout.includes("and the last"));
    const [before, last] = tail.lines.slice(-2);
    expect(before).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}one more$/);
    expect(last).toMatch(/INFO {2}and the last$/);
    expect(tail.stderr).toBe("");
  });

  it("--json prints exactly one envelope a line", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    const messages = ["plain", "two\nlines", "a line separator \u2028 and \u0085 and \u009b1m", 'a "quote"', ""];
    await source.publish(...messages);
    await using tail = kata(["tail", CHANNEL, "--json", "--rewind", "all"], reading(broker));
    await tail.until(({ lines }) => lines.length >= messages.length);
    expect(tail.lines).toHaveLength(messages.length);
    expect(tail.stdout).not.toMatch(/[\u007f-\u009f\u2028\u2029]/);
    for (const envelope of tail.envelopes) expect(OutboundMessageSchema.safeParse(envelope).success).toBe(true);
    expect(tail.envelopes.map(({ payload }) => payload.message)).toEqual(messages);
    expect(tail.envelopes.map(({ eventId }) => eventId)).toEqual(source.acked);
    expect(tail.envelopes.map(({ channel }) => channel)).toEqual(messages.map(() => CHANNEL));
  });

  it.each([
    ["3", ["message 8", "message 9", "message 10"]],
    ["all", count(10)],
    ["10m", count(10)],
    ["0", []],
  ])("--rewind %s starts in the past", async (amount, expected) => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish(...count(10));
    await using tail = kata(["tail", CHANNEL, "--json", "--rewind", amount], reading(broker));
    if (expected.length === 0) await source.publishUntilSeen(tail);
    else await tail.until(({ lines }) => lines.length >= expected.length);
    await source.publishWhile(tail.until(({ lines }) => lines.length > expected.length));
    const messages = tail.envelopes.map(({ payload }) => payload.message);
    expect(messages.slice(0, expected.length)).toEqual(expected);
    expect(messages[expected.length]).toMatch(/^event/);
  });

  it("--since starts after that event", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish(...count(10));
    await using tail = kata(["tail", CHANNEL, "--json", "--since", source.acked[6] ?? ""], reading(broker));
    await tail.until(({ lines }) => lines.length >= 3);
    expect(tail.envelopes.map(({ eventId }) => eventId)).toEqual(source.acked.slice(7));
    expect(tail.stderr).toBe("");
  });

  it("tells a gap on stderr and goes on with what exists", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish("survivor");
    const elsewhere = formatEventId("abc", 5, "0000", 0);
    await using tail = kata(["tail", CHANNEL, "--since", elsewhere], reading(broker));
    await tail.until(({ lines, stderr }) => lines.length > 0 && stderr.endsWith("\n"));
    expect(tail.lines.join()).toContain("survivor");
    expect(tail.stderr).toBe(`kata: gap after ${elsewhere}: the log was made anew; what still exists follows\n`);
  });

  it("ends with 0 and without a word when its reader has enough (| head -1)", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish("first", "second");
    await using shell = kataInShell(
      `{ "$@"; echo "ended with $?" >&2; } | head -1`,
      ["tail", CHANNEL, "--rewind", "all"],
      reading(broker),
    );
    await source.publishWhile(shell.ended);
    const { stdout, stderr } = await shell.ended;
    expect(stdout).toMatch(/first\n$/);
    expect(stderr).toBe("ended with 0\n");
  });

  it("does not crash when nobody reads stderr either", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using source = await createSource(nats);
    await source.publish("first", "second");
    await using tail = kata(["tail", CHANNEL, "--since", formatEventId("abc", 5, "0000", 0)], reading(broker));
    tail.child.stderr.destroy();
    await tail.until(({ lines }) => lines.length === 2);
  });
});
