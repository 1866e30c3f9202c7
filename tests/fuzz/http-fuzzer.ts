import { connect, type Socket } from "node:net";
import { ERRORS } from "@kata/protocol";
import type { Random } from "../support/random.ts";
import { chance, pieces, shown } from "./choice.ts";
import type { Tokens } from "./commands.ts";
import { isErrorCode } from "./frame-oracle.ts";
import { type HttpAnswer, HttpAnswers } from "./http-answers.ts";
import { type Request, RequestSource } from "./http-requests.ts";
import { SILENCE_MS } from "./web-socket.ts";

/** Requests that are sent at once, where each is answered in the same breath. */
const PIPELINE = 8;

/** The longest head that is sent in pieces, bytes: the HTTP layer takes longer ones only in one. */
const WHOLE_HEAD = 3_000;

/** One connection after the other, each with one request after the other, each of which is answered once. */
export class HttpFuzzer {
  readonly #random: Random;
  readonly #port: number;
  readonly #source: RequestSource;
  #sent = 0;
  #connection: Connection | undefined;
  /** What the connection was asked before: an answer can be spoilt by the request before it. */
  #before = "nothing";
  /** How often a connection was closed instead of an answer, and the new one gave it. */
  closedInSilence = 0;
  /** What the log was said to have. */
  readonly eventIds: string[] = [];

  constructor(random: Random, port: number, tokens: Tokens, readerKey: string) {
    this.#random = random;
    this.#port = port;
    this.#source = new RequestSource(random, tokens, readerKey);
  }

  /** @throws Error for the first request that was not answered as it should */
  async run(count: number): Promise<void> {
    const until = this.#sent + count;
    while (this.#sent < until) await this.#turn();
  }

  close(): void {
    this.#connection?.socket.destroy();
    this.#connection = undefined;
  }

  async #turn(): Promise<void> {
    const first = this.#source.next();
    const requests = [first];
    while (first.prompt && requests.length < PIPELINE) {
      const next = this.#source.next();
      requests.push(next);
      if (!next.prompt) break;
    }
    this.#sent += requests.length;
    const reused = this.#connection !== undefined;
    await this.#exchange(requests).catch(async (error: unknown) => {
      // A server may close a connection that was used before at any time, as this one does after a while: what met that and
      // was not answered at all is asked again on a new one, and must be answered there.
      if (!(error instanceof ClosedInSilence && reused)) throw error;
      this.closedInSilence++;
      this.close();
      await this.#exchange(requests);
    });
  }

  async #exchange(requests: readonly Request[]): Promise<void> {
    if (this.#connection === undefined) {
      this.#connection = new Connection(this.#port);
      this.#before = "nothing";
    }
    const connection = this.#connection;
    const said = () => requests.map(({ bytes, answers }) => `${answers.join("|")}: ${shown(bytes)}`).join("\n  ");
    for (const { method } of requests) connection.answers.asked(method);
    const bytes = Buffer.concat(requests.map((request) => request.bytes));
    for (const piece of this.#pieces(bytes, requests.length > 1)) connection.socket.write(piece);
    const last = requests.at(-1) as Request;
    const wanted = requests.length;
    // An event stream does not end by itself; an odd path may be one, too.
    const streaming = () => last.answers.includes("200") && connection.answers.rest.includes("event: subscribed");
    const { answers: came } = connection.answers;
    try {
      await connection.until(() => came.length >= wanted || came.some(({ last: closing }) => closing) || streaming());
      const answers = came.splice(0);
      // Behind an answer that closes the connection nothing is looked at: a client asks that again.
      if (answers.at(-1)?.last === true) this.#sent -= wanted - answers.length;
      for (const [at, answer] of answers.entries()) this.#check(answer, requests[at] as Request);
      if (streaming() || chance(this.#random, 0.005) || answers.at(-1)?.last === true) this.close();
      this.#before = said();
    } catch (error) {
      if (connection.ended && came.length === 0 && connection.answers.rest === "") {
        throw new ClosedInSilence(`closed without an answer, to\n  ${said()}\nafter\n  ${this.#before}`);
      }
      throw new Error(`${(error as Error).message}, to\n  ${said()}\nafter\n  ${this.#before}`);
    }
  }

  /** The HTTP layer wants a request's first line in one piece, and says 505 where it is not. */
  #pieces(bytes: Buffer, pipelined: boolean): Buffer[] {
    const head = bytes.indexOf("\r\n\r\n");
    if (pipelined || head > WHOLE_HEAD || !chance(this.#random, 0.1)) return [bytes];
    const line = bytes.indexOf("\n") + 1;
    const [first = bytes, ...rest] = pieces(this.#random, bytes.subarray(line), 6);
    return [Buffer.concat([bytes.subarray(0, line), first]), ...rest];
  }

  #check(answer: HttpAnswer, { answers, method }: Request): void {
    const { status, body, headers } = answer;
    const fail = (what: string): never => {
      throw new Error(`${what}: ${status} ${JSON.stringify(headers)} ${shown(body)}`);
    };
    const bodiless = method === "HEAD" || status === 204;
    if (bodiless && body !== "") fail("a body that must not be");
    const json = bodiless ? undefined : jsonOf(body);
    if (!bodiless && (json === undefined || headers["content-type"] !== "application/json; charset=utf-8"))
      fail("no JSON");
    if (status < 400 || bodiless) {
      if (!answers.some((each) => each.startsWith(String(status)))) fail("the wrong status");
      this.#note(json);
      return;
    }
    const { code, message, retryable } = (json as { error?: Record<string, unknown> }).error ?? {};
    if (typeof code !== "string" || !isErrorCode(code)) return fail("no error of the protocol");
    if (ERRORS[code].status !== status || ERRORS[code].retryable !== retryable) fail("not as the table says");
    if (typeof message !== "string" || message === "" || message.includes("\n")) fail("no message");
    if (!answers.includes(`${status} ${code}`)) fail("the wrong code");
  }

  /** What a good answer gave is used: events are looked for in the log, keys and sessions are taken away again. */
  #note(json: unknown): void {
    const { eventIds, keyId, sessionId } = (json ?? {}) as Readonly<Record<string, unknown>>;
    if (Array.isArray(eventIds)) this.eventIds.push(...eventIds);
    if (typeof keyId === "string") this.#source.made.push({ path: `/v1/keys/${keyId}` });
    if (typeof sessionId === "string") this.#source.made.push({ path: `/v1/sessions/${sessionId}` });
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

class ClosedInSilence extends Error {}

/** A connection on which bytes are written by hand. */
export class Connection {
  readonly socket: Socket;
  readonly answers = new HttpAnswers();
  #failure: Error | undefined;
  #ended = false;
  #wake: () => void = () => {};

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.socket.on("data", (bytes: Buffer) => {
      try {
        this.answers.take(bytes);
      } catch (error) {
        this.#failure ??= error as Error;
      }
      this.#wake();
    });
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.#ended = true;
      this.answers.end();
      this.#wake();
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** @throws Error if it is not so in time, the connection has ended, or something came that is no answer */
  async until(reached: () => boolean): Promise<void> {
    const deadline = performance.now() + SILENCE_MS;
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (reached()) return;
      if (this.#ended) throw new Error(`closed without an answer, after ${shown(this.answers.rest)}`);
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`silence, after ${shown(this.answers.rest)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
