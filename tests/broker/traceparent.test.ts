import { createPublisher } from "@kata/publisher";
import { describe, expect, it } from "vitest";
import { startBroker, TEST_KEY } from "../support/broker.ts";
import { openEventSource } from "../support/event-stream.ts";
import { startNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { connectRaw } from "../support/raw-client.ts";

const CHANNEL = "agent:build";
const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const log = (message: string, traceparent?: string) => ({
  type: "log_entry",
  payload: { message },
  ...(traceparent === undefined ? {} : { traceparent }),
});
const traceOf = (envelope: object) => ("traceparent" in envelope ? envelope.traceparent : "none");

describe("[ENVELOPE-7] a traceparent", () => {
  it("reaches every subscriber with its event: live, replayed, in event streams and in history", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using publisher = await createPublisher({ servers: nats.url, teamId: "demo" });
    await using live = await connectRaw({ wsUrl: broker.wsUrl, apiKey: TEST_KEY });
    live.send({ type: "subscribe", channel: CHANNEL });
    await live.nextOf("caught_up");
    await publisher.publishMany(CHANNEL, [log("1", TRACE), log("2")]);
    await using late = await connectRaw({ wsUrl: broker.wsUrl, apiKey: TEST_KEY });
    late.send({ type: "subscribe", channel: CHANNEL, rewind: "all" });
    using stream = openEventSource(`${broker.httpUrl}/v1/channels/${CHANNEL}/stream?rewind=all`);
    await expect.poll(stream.events).toEqual([1, 2]);
    const history = await fetch(`${broker.httpUrl}/v1/channels/${CHANNEL}/events`, {
      headers: { "x-api-key": TEST_KEY },
    });
    const { events } = (await history.json()) as { events: object[] };
    const streamed = stream.messages.filter(({ type }) => type === "message").map(({ data }) => data);
    for (const seen of [await live.events(CHANNEL, 2), await late.events(CHANNEL, 2), streamed, events]) {
      expect(seen.map(traceOf)).toEqual([TRACE, "none"]);
    }
  });

  it("of a stranger is delivered as it is if it is a string; what is none costs the event alone", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using publisher = await createPublisher({ servers: nats.url, teamId: "demo" });
    await using reader = await connectRaw({ wsUrl: broker.wsUrl, apiKey: TEST_KEY });
    reader.send({ type: "subscribe", channel: CHANNEL });
    await reader.nextOf("caught_up");
    await using stranger = await connectNats(nats.url);
    const line = (traceparent: unknown) =>
      JSON.stringify({ type: "odd", timestamp: "t", encoding: "json", traceparent, payload: 1 });
    stranger.publish("kata.team.demo.agent.build", ["no trace", 7, null, ""].map(line).join("\n"));
    await stranger.flush();
    await publisher.publish(CHANNEL, log("after", TRACE));
    expect((await reader.events(CHANNEL, 3)).map(traceOf)).toEqual(["no trace", "", TRACE]);
    expect(await broker.metrics()).toMatch(/kata_invalid_lines_total 2\n/);
  });
});
