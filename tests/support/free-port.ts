import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

// Below what systems give to outgoing connections (Linux from 32768, others from 49152): while a server is down for a test,
// no client's connection can be given its port, and none can connect to itself there.
const FIRST = 14_000;
const LAST = 32_000;

/** A port of 127.0.0.1 on which nothing listens now. Another may take it first: be ready to try again. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, LAST);
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
