import { expect, test } from "vitest";
import { startNats } from "../support/nats.ts";

test("x", async () => {
  await using nats = await startNats();
  console.log(nats.url);
  await nats.kill();
  await nats.start();
  nats.suspend();
  nats.resume();
  await nats.stop();
  await nats.start();
  expect(nats.url).toBe(`nats://127.0.0.1:${nats.port}`);
});
