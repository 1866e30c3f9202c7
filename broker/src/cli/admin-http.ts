import type { z } from "zod";
import { UsageError } from "./usage-error.ts";

export interface AdminHttpOptions {
  /** Where the broker is, `ws://…/ws` or `http://…`. */
  readonly url: string;
  readonly apiKey: string;
}

export interface AdminRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
}

/** How long a broker may take to answer, milliseconds. */
const PATIENCE_MS = 10_000;

/** Sends an administrative request to a broker and gives its answer. @throws UsageError for a refusal, in the broker's words */
export async function ask<T>(to: AdminHttpOptions, request: AdminRequest, answer: z.ZodType<T>): Promise<T> {
  const { status, body, origin } = await send(to, request);
  const parsed = answer.safeParse(body);
  if (!parsed.success) throw notABroker(origin, status);
  return parsed.data;
}

/** Asks for a list, page by page. @throws UsageError for a refusal, in the broker's words */
export async function askAll<T>(
  to: AdminHttpOptions,
  path: string,
  answer: z.ZodType<{ readonly entries: readonly T[]; readonly next?: string | undefined }>,
): Promise<T[]> {
  const all: T[] = [];
  for (let next: string | undefined; ; ) {
    const query = next === undefined ? "" : `?after=${encodeURIComponent(next)}`;
    const page = await ask(to, { method: "GET", path: `${path}${query}` }, answer);
    all.push(...page.entries);
    // What would be asked for again and again is no next page.
    if (page.next === undefined || page.next === next) return all;
    next = page.next;
  }
}

/** The same where nothing is to be known but that it was done. */
export async function tell(to: AdminHttpOptions, request: AdminRequest): Promise<void> {
  await send(to, request);
}

async function send({ url, apiKey }: AdminHttpOptions, { method, path, body }: AdminRequest) {
  const { origin } = httpUrl(url);
  // What no header can carry would be shown by whoever says so.
  if (!/^[\x21-\x7e]+$/.test(apiKey))
    throw new UsageError("the API key holds characters that no key has: give it anew");
  let response: Response;
  try {
    response = await fetch(new URL(path, origin), {
      method,
      headers: { "x-api-key": apiKey, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
      // A key must not be led to somebody else.
      redirect: "error",
    });
  } catch (error) {
    throw new UsageError(`the broker at ${origin} cannot be reached (${reasonOf(error)}): start it, or give --url`);
  }
  const { status } = response;
  const json: unknown = status === 204 ? undefined : await response.json().catch(() => undefined);
  if (response.ok) return { status, body: json, origin };
  const message = (json as { error?: { message?: unknown } } | undefined)?.error?.message;
  throw typeof message === "string" ? new UsageError(message) : notABroker(origin, status);
}

function notABroker(origin: string, status: number): UsageError {
  return new UsageError(`${origin} answered ${status}, but not as a Kata broker: give --url the broker's URL`);
}

function httpUrl(text: string): URL {
  try {
    const url = new URL(text.replace(/^ws/i, "http"));
    if (/^https?:$/.test(url.protocol) && url.username === "" && url.password === "") return url;
  } catch {
    // Not shown: it may hold what is nobody's business.
  }
  throw new UsageError("--url (or KATA_URL) takes the broker's URL, such as http://127.0.0.1:8080, without a login");
}

function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === "TimeoutError") return `no answer within ${PATIENCE_MS / 1_000} seconds`;
  const { message: why, code } = (cause ?? {}) as NodeJS.ErrnoException;
  // Where a name has several addresses the message is empty.
  return why || code || message;
}
