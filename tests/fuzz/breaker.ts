import type { Random } from "../support/random.ts";
import { brokenRequest, inPieces } from "./broken-requests.ts";
import { shown } from "./choice.ts";
import { Connection } from "./http-fuzzer.ts";

/** Each on a connection of its own: what is no request is refused, or the connection ends, in bounded time. */
export class Breaker {
  readonly #random: Random;
  readonly #port: number;
  readonly #apiKey: string;

  constructor(random: Random, port: number, apiKey: string) {
    this.#random = random;
    this.#port = port;
    this.#apiKey = apiKey;
  }

  /** @throws Error for the first that was let be, or answered as if it were something */
  async run(count: number): Promise<void> {
    for (let left = count; left > 0; left--) await this.#one();
  }

  async #one(): Promise<void> {
    const request = brokenRequest(this.#random, this.#apiKey);
    const connection = new Connection(this.#port);
    const { socket, answers } = connection;
    // Of several in one breath each may be answered.
    for (let left = 4; left > 0; left--) answers.asked("GET");
    for (const part of inPieces(this.#random, request)) socket.write(part);
    if (request.halfClosed) socket.end();
    try {
      await connection.until(() => connection.ended || answers.answers.length > 0);
      // The first line in two pieces is a 505 of its own, whatever it says.
      const statuses = [...request.statuses, 505];
      for (const { status } of answers.answers) {
        if (!statuses.includes(status)) throw new Error(`answered with ${status}`);
      }
    } catch (error) {
      throw new Error(`${(error as Error).message}, to ${shown(Buffer.concat(request.parts))}`);
    } finally {
      socket.destroy();
    }
  }
}
