import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { createPublisher } from "@kata/publisher";
import { describe, expect, it } from "vitest";
import { createJetStreamLog } from "../../broker/src/log/jetstream-log.ts";
import { ensureStream } from "../../broker/src/log/stream.ts";
import { startBroker, TEST_KEY } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { BROKER_LOGIN } from "../support/nats-secrets.ts";
import { connectRaw } from "../support/raw-client.ts";

const log = (message: string) => ({ type: "log_entry", payload: { message } }) as const;

/** Speaks NATS by hand: the client library does not send such headers. */
async function publishWithHeaders(port: number, subject: string, headers: string, payload: string): Promise<void> {
  const socket = connectTcp(port, "127.0.0.1");
  await once(socket, "connect");
  const block = `NATS/1.0\r\n${headers}\r\n\r\n`;
  const total = Buffer.byteLength(block) + Buffer.byteLength(payload);
  socket.write(
    `CONNECT ${JSON.stringify({ verbose: false, headers: true, ...BROKER_LOGIN })}\r\nHPUB ${subject} ${Buffer.byteLength(block)} ${total}\r\n${block}${payload}\r\nPING\r\n`,
  );
  let heard = "";
  for await (const chunk of socket) {
    heard += String(chunk);
    if (heard.includes("PONG")) break;
  }
  expect(heard).not.toContain("-ERR");
  socket.destroy();
}

describe("messages of strangers", () => {
  it.each([
    "foo bar: b",
    ": nothing",
    "no colon at all",
    "Nats-Sequence: 7\r\nNats-Last-Sequence: x",
    "Nats-Msg-Id: ",
    "a:\u0001\u00ff",
  ])("headers that no client library reads (%j) stop nobody: live, on resume, and at the audit", async (headers) => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats, config: { auditIntervalMs: 50, ringBytes: 0 } });
    const publisher = await createPublisher({ servers: nats.url, teamId: "demo" });
    await using live = await connectRaw({ wsUrl: broker.wsUrl, apiKey: TEST_KEY });
    live.send({ type: "subscribe", channel: "team:demo" });
    await live.nextOf("caught_up");
    const first = await publisher.publish("team:demo", log("1"));
    const event = JSON.stringify({ type: "odd", timestamp: "t", encoding: "json", payload: 2 });
    await publishWithHeaders(nats.port, "kata.team.demo", headers, event);
    await publishWithHeaders(nats.port, "kata.team.foreign", headers, event);
    // The foreign one is the newest of the log: the audit has to read it, and says so in the pong.
    const audited = async () => {
      live.send({ type: "ping" });
      return (await live.nextOf("pong")).eventId;
    };
    await expect.poll(audited, { timeout: 10_000 }).toMatch(/-3-/);
    await publisher.publish("team:demo", log("3"));
    const events = await live.events("team:demo", 3);
    expect(events.map((each) => each.type)).toEqual(["log_entry", "odd", "log_entry"]);
    await using back = await connectRaw({ wsUrl: broker.wsUrl, apiKey: TEST_KEY });
    back.send({ type: "subscribe", channel: "team:demo", lastEventId: first.eventId });
    expect((await back.nextOf("subscribed")).payload.recovery).toBe("complete");
    expect(await back.events("team:demo", 2)).toEqual(events.slice(1));
    await using after = await connectRaw({ wsUrl: broker.wsUrl, apiKey: TEST_KEY });
    after.send({ type: "subscribe", channel: "team:demo", lastEventId: events[1]?.eventId });
    expect((await after.nextOf("subscribed")).payload.recovery).toBe("complete");
    await publisher.close();
  });
});

describe("the audit's question", () => {
  it("is answered in full, even when the server ends its answer early because it got too long", async () => {
    await using nats = await startNats();
    const nc = await connectNats(nats.url);
    try {
      await ensureStream(nc);
      const subjects = Array.from({ length: 150 }, (_, i) => `kata.team.demo.agent.a${i}`);
      // Together more than the 64 MB that the server keeps for a connection.
      for (const subject of subjects) await nc.request(subject, new Uint8Array(450_000).fill(120));
      const log = await createJetStreamLog(nc, { timeoutMs: 5_000 });
      const { lastSeq } = await log.state();
      const heads = await log.heads(subjects, lastSeq);
      expect(subjects.map((subject) => heads.get(subject)?.seq)).toEqual(subjects.map((_, i) => i + 1));
      await log.close();
    } finally {
      await nc.close();
    }
  });
});
