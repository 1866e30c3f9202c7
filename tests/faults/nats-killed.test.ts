import { setTimeout as rest } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { TestBroker } from "../support/broker.ts";
import { REPEAT } from "../support/random.ts";
import { eventsOf } from "../support/raw-client.ts";
import { arrived, openLiveReader, PATIENCE } from "./readers.ts";
import { underLoad } from "./under-load.ts";

async function ready(broker: TestBroker): Promise<number> {
  const response = await fetch(`${broker.httpUrl}/readyz`);
  await response.arrayBuffer();
  return response.status;
}

interface Answer {
  readonly status: number;
  readonly message: string;
  readonly body: { readonly eventIds?: string[]; readonly error?: { code: string; retryable: boolean } };
}

async function post(broker: TestBroker, channel: string, message: string): Promise<Answer> {
  const response = await fetch(`${broker.httpUrl}/v1/channels/${channel}/events`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": broker.apiKey },
    body: JSON.stringify({ type: "log_entry", payload: { message } }),
  });
  return { status: response.status, message, body: (await response.json()) as Answer["body"] };
}

// The long form is KATA_TEST_REPEAT=10.
const ROUNDS = Array.from({ length: REPEAT }, (_, i) => i + 1);
const TIMEOUT = { timeout: 120_000 };

describe("attacks invariants 1, 2 and 3: NATS goes away under load", () => {
  it.each(ROUNDS)(
    "killed and started again five times: every acknowledged event once, in order, on connections that stay [HTTP-4] (%i)",
    TIMEOUT,
    async () => {
      await underLoad(async ({ nats, broker, random, more, comeLate }) => {
        for (let kill = 0; kill < 5; kill++) {
          await more(1 + Math.floor(random() * 500));
          expect(await ready(broker)).toBe(200);
          await nats.kill();
          expect(await ready(broker)).toBe(503);
          await comeLate();
          await nats.start();
          await expect.poll(() => ready(broker), PATIENCE).toBe(200);
        }
        await more(1);
      });
    },
  );

  it.each(ROUNDS)(
    "stopped for 20 s (SIGSTOP): the same, and a publish over HTTP is answered meanwhile, never told what is not so (%i)",
    TIMEOUT,
    async () => {
      await underLoad(async ({ nats, broker, more, comeLate }) => {
        const channel = "agent:http";
        const reader = await openLiveReader(broker, channel);
        await more(100);
        const answers = [await post(broker, channel, "before")];
        nats.suspend();
        // So long that requests, pings and acknowledgements run into their timeouts: this wait is the fault.
        const stopped = rest(20_000);
        await comeLate();
        expect(await ready(broker)).toBe(503);
        for (let i = 0; i < 10; i++) answers.push(await post(broker, channel, `${i}`));
        await stopped;
        nats.resume();
        await expect.poll(() => ready(broker), PATIENCE).toBe(200);
        const after = await post(broker, channel, "after");
        await more(100);

        for (const { status, body } of answers.slice(1)) {
          if (status !== 201)
            expect({ status, body }).toMatchObject({ status: 503, body: { error: { retryable: true } } });
        }
        expect([answers[0]?.status, after.status]).toEqual([201, 201]);
        await arrived(reader, channel, after.body.eventIds?.[0] ?? "");
        const events = eventsOf(reader.messages, channel);
        const ids = events.map((event) => event.eventId);
        expect(new Set(ids).size).toBe(ids.length);
        // [HTTP-3] What was answered with 503 may be in the log or not; what was answered with 201 is, in order.
        const stored = [...answers, after].flatMap(({ body }) => body.eventIds ?? []);
        expect(ids.filter((id) => stored.includes(id))).toEqual(stored);
        const messages = events.map((event) => (event.payload as { message: string }).message);
        expect([...answers, after].map(({ message }) => message).filter((each) => messages.includes(each))).toEqual(
          messages,
        );
      });
    },
  );
});
