import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createPublisher } from "@kata/publisher";
import { expect, onTestFinished, test } from "vitest";
import { readLog } from "../support/stream.ts";
import { createRig, KEY, numbersOf, TEAM } from "./rig.ts";

const bad = { type: "log_entry", payload: { nothing: 1 } };
const loud = { type: "log_entry", payload: { message: "m", level: "loud" } };
const good = { type: "log_entry", payload: { message: "m", i: 0 } };
const refused = (message: RegExp, stored = "no") => ({
  error: { code: "invalid_event", stored, message: expect.stringMatching(message) },
});

test("events that a broker refuses are each told their own flaw, also where none is left", async () => {
  await using rig = await createRig({ way: "http" });
  const publisher = await rig.publisher();
  const some = await publisher.publishEach("agent:a1", [bad, good, loud]);
  expect(some).toMatchObject([refused(/message/), { duplicate: false }, refused(/level/)]);
  const none = await publisher.publishEach("agent:a1", [bad, loud, bad]);
  expect(none).toMatchObject([refused(/message/), refused(/level/), refused(/message/)]);
  const keyed = await publisher.publishEach("agent:a1", [loud, bad], { idempotencyKey: "k" });
  expect(keyed).toMatchObject([refused(/level/), refused(/message/)]);
  expect(numbersOf(await readLog(rig.nc))).toEqual([0]);
  expect(publisher.stats).toMatchObject({ published: 1, failed: 7, queuedEvents: 0 });
});

test.each([
  ["the first attempt", 0, "no"],
  ["an attempt after one that nobody told the end of", 1, "unknown"],
])("whether events that %s is refused for are stored: see stored", async (_, failures, stored) => {
  let posts = 0;
  const error = { code: "invalid_event", message: "message: it is none", retryable: false };
  const fake = createServer((req, res) => {
    req.resume().on("end", () => {
      if (req.method === "GET") return void res.end(JSON.stringify({ teamId: TEAM }));
      if (posts++ < failures) return void res.writeHead(502).end();
      const errors = [0, 1].map((index) => ({ index, ...error }));
      res.writeHead(400).end(JSON.stringify({ error, published: 0, duplicates: 0, failed: 2, errors }));
    });
  });
  await new Promise<void>((listening) => fake.listen(0, "127.0.0.1", listening));
  onTestFinished(() => {
    fake.close();
    fake.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(fake.address() as AddressInfo).port}`;
  await using publisher = await createPublisher({ url, apiKey: KEY });
  const outcomes = await publisher.publishEach("agent:a1", [good, good]);
  expect(outcomes).toMatchObject([refused(/it is none/, stored), refused(/it is none/, stored)]);
});
