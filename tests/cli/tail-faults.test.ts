import { describe, expect, it } from "vitest";
import { spawnBroker, startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { startProxy } from "../support/proxy.ts";
import { REPEAT } from "../support/random.ts";
import { createSource } from "./publishing.ts";
import { CHANNEL, eventually, kata, reading, startRelay } from "./rig.ts";

const repeats = Array.from({ length: REPEAT }, (_, i) => i + 1);

describe("attacks invariant 2: kata tail neither loses nor repeats a line", () => {
  it.each(repeats)("across a broker's SIGKILL and restart, while events are published (%i)", async () => {
    await using nats = await startNats();
    await using broker = await spawnBroker({ nats });
    await using source = await createSource(nats);
    await using tail = kata(["tail", CHANNEL, "--json"], reading(broker));
    await source.publishUntilSeen(tail);
    await source.publishWhile(broker.kill().then(() => broker.start()));
    await source.publishWhile(tail.until(({ stderr }) => stderr.includes("again")));
    const last = source.acked.at(-1) ?? "";
    await tail.until(({ lines }) => lines.at(-1)?.includes(last) === true);
    const seen = tail.envelopes.map(({ eventId }) => eventId);
    expect(seen).toEqual(source.acked.slice(source.acked.indexOf(seen[0] ?? "")));
    // The outage is told once, and its end once.
    expect(tail.stderr.split("\n")).toEqual([
      expect.stringMatching(/^kata: lost the connection to 127\.0\.0\.1:\d+ \(.+\), connecting again$/),
      expect.stringMatching(/^kata: connected to 127\.0\.0\.1:\d+ again$/),
      "",
    ]);
  });

  it.each(repeats)("across cut connections (%i)", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using proxy = await startProxy({ port: broker.port });
    await using source = await createSource(nats);
    await using tail = kata(["tail", CHANNEL, "--json"], reading({ ...broker, wsUrl: `ws://127.0.0.1:${proxy.port}` }));
    await source.publishUntilSeen(tail);
    for (let cuts = 1; cuts <= 3; cuts++) {
      proxy.cut();
      await source.publishWhile(tail.until(({ stderr }) => stderr.split(" again\n").length > 2 * cuts));
    }
    const last = source.acked.at(-1) ?? "";
    await tail.until(({ lines }) => lines.at(-1)?.includes(last) === true);
    const seen = tail.envelopes.map(({ eventId }) => eventId);
    expect(seen).toEqual(source.acked.slice(source.acked.indexOf(seen[0] ?? "")));
  });

  it.each(repeats)(
    "when whoever reads its output stops for a while: it leaves, and comes back for the rest (%i)",
    async () => {
      await using nats = await startNats();
      await using broker = await startBroker({ nats });
      await using relay = await startRelay(broker.wsUrl);
      await using source = await createSource(nats);
      const big = "x".repeat(50_000);
      for (let i = 0; i < 200; i++) await source.publish(`${i} ${big}`);
      await using tail = kata(
        ["tail", CHANNEL, "--json", "--rewind", "all"],
        reading({ ...broker, wsUrl: relay.wsUrl }),
      );
      tail.child.stdout.pause();
      await eventually(() => relay.commands.some(({ type }) => type === "unsubscribe")).toBe(true);
      tail.child.stdout.resume();
      await tail.until(({ lines }) => lines.length >= source.acked.length);
      expect(tail.envelopes.map(({ eventId }) => eventId)).toEqual(source.acked);
      const resumed = relay.commands.filter(({ type }) => type === "subscribe").slice(1);
      expect(resumed.length).toBeGreaterThan(0);
      for (const { lastEventId } of resumed) expect(source.acked).toContain(lastEventId);
      expect(tail.stderr).toBe("");
    },
  );
});
