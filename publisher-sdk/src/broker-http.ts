import { readFile } from "node:fs/promises";
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import type { TlsOptions } from "@nats-io/transport-node";
import { retryAfterOf } from "./retry-after.ts";

/** What a broker answered. */
export interface HttpAnswer {
  readonly status: number;
  /** Its body as JSON; `undefined` if it is none. */
  readonly body: unknown;
  /** From `Retry-After`, milliseconds; `undefined` if it said nothing. */
  readonly retryAfterMs: number | undefined;
}

export interface HttpRequest {
  readonly method: "GET" | "POST";
  /** Below the broker's URL, from `/v1/` on. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly timeoutMs: number;
  /** Ends it: nobody waits for the answer any more, and its connection is another's. */
  readonly signal?: AbortSignal;
}

/** What a broker's answer may have at most, bytes: what answers more is no broker. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/** There was no whole answer in time. */
export class NoAnswerError extends Error {}

/** A broker's HTTP API, over a few connections that are kept. */
export class BrokerHttp {
  readonly #base: URL;
  readonly #apiKey: string;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #request: typeof requestHttp;

  constructor(base: URL, apiKey: string, connections: number, tls: Readonly<Record<string, unknown>>) {
    this.#base = base;
    this.#apiKey = apiKey;
    const secure = base.protocol === "https:";
    const options = { keepAlive: true, maxSockets: connections, scheduling: "lifo" as const };
    this.#agent = secure ? new HttpsAgent({ ...options, ...tls }) : new HttpAgent(options);
    this.#request = secure ? requestHttps : requestHttp;
  }

  /** Who it is, for messages: without what may be secret in a URL. */
  get name(): string {
    return this.#base.host;
  }

  /**
   * One request.
   *
   * @throws Error of one clear line if there is no whole answer in time
   */
  ask({ method, path, headers = {}, body, timeoutMs, signal }: HttpRequest): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const url = new URL(this.#base);
      // Not resolved against the base: a path that begins with two slashes would be a host, which would get the key.
      url.pathname = `${this.#base.pathname.replace(/\/+$/, "")}${path}`;
      const length = body === undefined ? {} : { "content-length": String(body.byteLength) };
      const request = this.#request(url, {
        agent: this.#agent,
        method,
        ...(signal === undefined ? {} : { signal }),
        headers: { ...headers, ...length, "x-api-key": this.#apiKey, accept: "application/json" },
      });
      const timer = setTimeout(() => {
        request.destroy(new NoAnswerError(`the broker at ${this.name} does not answer within ${timeoutMs} ms`));
      }, timeoutMs);
      const fail = (error: Error): void => {
        clearTimeout(timer);
        if (error instanceof NoAnswerError) reject(error);
        else
          reject(
            new Error(`the broker at ${this.name} cannot be reached: ${firstLine(error.message)}`, { cause: error }),
          );
      };
      request.on("error", fail);
      request.on("response", (response) => {
        receive(response).then((text) => {
          clearTimeout(timer);
          resolve(answerOf(response, text));
        }, fail);
      });
      request.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** OpenSSL says more than that. */
function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}

async function receive(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error("its answer is too long");
    chunks.push(chunk as Buffer);
  }
  if (!response.complete) throw new Error("its answer was cut off");
  return Buffer.concat(chunks).toString("utf8");
}

function answerOf({ statusCode, headers }: IncomingMessage, text: string): HttpAnswer {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // What stands between us and the broker (a proxy, a gateway) answers as it likes.
  }
  return { status: statusCode ?? 0, body, retryAfterMs: retryAfterOf(headers, Date.now()) };
}

/** The files that NATS's client library takes by name, read for Node's. */
export async function tlsFilesOf(tls: TlsOptions | undefined): Promise<Record<string, unknown>> {
  if (tls === undefined) return {};
  const { caFile, certFile, keyFile, ...rest } = tls as TlsOptions & Record<string, unknown>;
  const files = { ca: caFile, cert: certFile, key: keyFile };
  const read: Record<string, unknown> = { ...rest };
  for (const [name, file] of Object.entries(files)) if (typeof file === "string") read[name] = await readFile(file);
  return read;
}
