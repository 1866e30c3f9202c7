import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

// Below what systems give to outgoing connections (Linux from 32768, others from 49152): while a server is down for a test,
// no client's connection can be given its port, and none can connect to itself there.
const FIRST = 14_000;
const LAST = 32_000;
// A worker of vitest has ports of its own, and gives each of them once in a round: nobody takes one between its choice and its
// use, nor while its server is down.
const SHARE = 2_000;
const SHARES = (LAST - FIRST) / SHARE;
const first = FIRST + (Number(process.env.VITEST_POOL_ID ?? 0) % SHARES) * SHARE;
let given = randomInt(SHARE);

/** A port of 127.0.0.1 on which nothing listens now, another with each call. A program beside the tests may take it first. */
export async function freePort(): Promise<number> {
  for (;;) {
    given = (given + 1) % SHARE;
    const port = first + given;
    const server = createServer();
    try {
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
      return port;
    } catch {
      // Taken: the next one.
    } finally {
      server.close();
    }
  }
}
