import { createPublisher } from "@kata/publisher";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type InProcessBroker, startBroker, TEST_KEY } from "../support/broker.ts";
import { freePort } from "../support/free-port.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectRaw } from "../support/raw-client.ts";

let nats: TestNats;
let broker: InProcessBroker;

beforeEach(async () => {
  nats = await startNats();
  broker = await startBroker({ nats, config: { metricsPort: 0, ringBytes: 100_000, ringTotalBytes: 150_000 } });
});

afterEach(async () => {
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

async function scrape(): Promise<(line: string) => number> {
  const response = await fetch(`http://127.0.0.1:${broker.metricsPort}/metrics`);
  expect(response.headers.get("content-type")).toContain("text/plain; version=0.0.4");
  const text = await response.text();
  return (line) =>
    Number(
      text
        .split("\n")
        .find((each) => each.startsWith(`${line} `))
        ?.slice(line.length),
    );
}

it("shows each bound of memory beside what is in use of it, and what readers met", async () => {
  const publisher = await createPublisher({ servers: nats.url, teamId: "demo" });
  await using socket = await connectRaw({ wsUrl: broker.wsUrl, apiKey: TEST_KEY });
  for (const channel of ["agent:a", "agent:b"]) {
    socket.send({ type: "subscribe", channel, lastEventId: "nonsense" });
    await socket.nextOf("caught_up");
    for (let i = 0; i < 40; i++) {
      await publisher.publish(channel, { type: "log_entry", payload: { message: "x".repeat(3_000) } });
    }
    await socket.events(channel, 40);
  }
  await publisher.close();
  const figure = await scrape();
  expect(figure('kata_memory_bytes{of="ring"}')).toBeGreaterThan(90_000);
  expect(figure('kata_memory_bytes{of="ring"}')).toBeLessThanOrEqual(figure('kata_memory_limit_bytes{of="ring"}'));
  expect(figure('kata_memory_bytes{of="rings"}')).toBeGreaterThan(100_000);
  expect(figure('kata_memory_bytes{of="rings"}')).toBeLessThanOrEqual(figure('kata_memory_limit_bytes{of="rings"}'));
  for (const of of ["held", "pages", "socket"]) {
    expect(figure(`kata_memory_bytes{of="${of}"}`), of).toBeGreaterThanOrEqual(0);
    expect(figure(`kata_memory_limit_bytes{of="${of}"}`), of).toBeGreaterThan(0);
  }
  expect(figure('kata_log_reads{state="in_flight"}')).toBeLessThanOrEqual(figure("kata_log_reads_limit"));
  expect(figure('kata_gaps_total{reason="unknown"}')).toBe(2);
  expect(figure('kata_subscriptions{phase="live"}')).toBe(2);
  expect(figure('kata_connections{transport="websocket"}')).toBe(1);
  expect(figure("kata_channels")).toBe(2);
  expect(figure("kata_log_connected")).toBe(1);
  await nats.kill();
  await expect.poll(async () => (await scrape())("kata_log_connected")).toBe(0);
});

it("a port that is taken ends the start, names the setting, and leaves nothing behind", async () => {
  const port = await freePort();
  const taken = { port, metricsPort: broker.metricsPort ?? 0 };
  await expect(startBroker({ nats, port, config: taken })).rejects.toThrow(
    /set KATA_METRICS_PORT or KATA_METRICS_HOST/,
  );
  await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow();
});

it("is served on its own listener alone", async () => {
  expect((await fetch(`${broker.httpUrl}/metrics`)).status).toBe(404);
  expect((await fetch(`http://127.0.0.1:${broker.metricsPort}/healthz`)).status).toBe(404);
  await expect(fetch(`http://127.0.0.1:${broker.metricsPort}/metrics`)).resolves.toMatchObject({ status: 200 });
});
