import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { startBroker, TEST_KEY } from "../support/broker.ts";
import { freePort } from "../support/free-port.ts";
import { startNats } from "../support/nats.ts";
import { createSource } from "./publishing.ts";
import { CHANNEL, type Ended, kata, reading } from "./rig.ts";

/** One line on stderr, nothing on stdout, exit code 1. */
function expectRefusal(ended: Ended, about: RegExp): void {
  expect(ended).toMatchObject({ code: 1, signal: null, stdout: "" });
  expect(ended.stderr).toMatch(/^kata: .+\n$/);
  expect(ended.stderr).toMatch(about);
}

describe("what kata tail cannot do is one clear line and exit code 1", () => {
  it.each([
    [
      "no channel, and an escape code",
      ["tail", "\x1b[2J\n"],
      {},
      /\\x1b\[2J\\n is no channel: team:\{id\}, spec:\{id\} or agent:\{id\}/,
    ],
    ["an unknown option", ["tail", CHANNEL, "--since-when"], {}, /unknown option '--since-when'/],
    ["no broker", ["tail", CHANNEL], {}, /no broker is known: run "npm start" here, or set KATA_URL and KATA_API_KEY/],
    ["two starts", ["tail", CHANNEL, "--since", "a-1-0000", "--rewind", "3"], {}, /--since or --rewind, not both/],
    ["no URL", ["tail", CHANNEL], { KATA_URL: "localhost", KATA_API_KEY: "k" }, /url must be ws:/],
  ])("%s", async (_, args, env, about) => {
    await using tail = kata(args, env);
    expectRefusal(await tail.ended, about);
  });

  it("a wrong key, which is not repeated", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using tail = kata(["tail", CHANNEL, "--api-key", "kat_live_wrong_key"], reading(broker));
    const ended = await tail.ended;
    expectRefusal(ended, /the broker refuses: these credentials are not valid/);
    expect(ended.stderr).not.toContain("kat_live_wrong_key");
  });

  it("another team's channel", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats });
    await using tail = kata(["tail", "team:other"], reading(broker));
    expectRefusal(await tail.ended, /team:other is refused: no such channel/);
  });

  it("a web server that is no broker", async () => {
    const server = createServer((_, response) => response.writeHead(404).end()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const place = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using tail = kata(["tail", CHANNEL, "--url", `http://${place}`, "--api-key", "k"]);
    const ended = await tail.ended;
    server.close();
    expectRefusal(ended, new RegExp(`what answers at ${place} is no broker \\(Unexpected server response: 404\\)`));
  });

  it("except a broker that is not there yet: that is said once, and it is waited for", async () => {
    await using nats = await startNats();
    const port = await freePort();
    await using tail = kata(
      ["tail", CHANNEL, "--rewind", "all"],
      reading({ wsUrl: `ws://127.0.0.1:${port}`, apiKey: TEST_KEY }),
    );
    await tail.until(({ stderr }) => stderr.includes("\n"));
    expect(tail.stderr).toBe(
      `kata: cannot reach a broker at 127.0.0.1:${port} (connect ECONNREFUSED 127.0.0.1:${port}), trying until one answers\n`,
    );
    await using _broker = await startBroker({ nats, port });
    await using source = await createSource(nats);
    await source.publish("at last");
    await tail.until(({ lines }) => lines.length > 0);
    expect(tail.lines.join()).toContain("at last");
    expect(tail.stderr.split("\n").slice(1)).toEqual([`kata: connected to 127.0.0.1:${port}`, ""]);
  });
});
