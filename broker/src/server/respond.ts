import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import { ERRORS, type ErrorCode } from "@kata/protocol/wire";
import type { Refusal } from "./refusal.ts";
import { errorPayload } from "./wire-error.ts";

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  204: "No Content",
  207: "Multi-Status",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** What the answer to a request carries besides, whoever gives it. */
const carried = new WeakMap<HttpResponse, Readonly<Record<string, string>>>();

/** Adds headers to the answer that a request will get. */
export function carry(res: HttpResponse, headers: Readonly<Record<string, string>>): void {
  carried.set(res, { ...carried.get(res), ...headers });
}

const last = new WeakSet<HttpResponse>();

/**
 * The answer to a request ends its connection: what was not read of its body is not worth reading, and uWebSockets.js never
 * closes a connection whose request was answered before its body had come.
 */
export function answerLast(res: HttpResponse): void {
  last.add(res);
}

/** Writes what {@link carry} added; for those who write a head of their own. */
export function writeCarried(res: HttpResponse): void {
  for (const [name, value] of Object.entries(carried.get(res) ?? {})) res.writeHeader(name, value);
}

/** Answers with JSON. The response must not be aborted. */
export function answer(
  res: HttpResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  answerJson(res, status, `${JSON.stringify(body)}\n`, headers);
}

/** Answers with what is JSON already. The response must not be aborted. */
export function answerJson(
  res: HttpResponse,
  status: number,
  json: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
): void {
  res.cork(() => {
    res.writeStatus(`${status} ${REASONS[status] ?? "Unknown"}`);
    res.writeHeader("content-type", "application/json; charset=utf-8");
    res.writeHeader("cache-control", "no-store");
    for (const [name, value] of Object.entries(headers)) res.writeHeader(name, value);
    writeCarried(res);
    // The rest of a body that is too large is not read: the connection is of no further use.
    res.end(json, status === 413 || last.has(res));
  });
}

/** [HTTP-2] Answers a request for which there is no route with an error; without a body where the method allows none. */
export function answerUnrouted(
  res: HttpResponse,
  req: HttpRequest,
  code: ErrorCode,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (req.getMethod() !== "head") return answerError(res, code, message, headers);
  answerHead(res, ERRORS[code].status, headers);
}

/** Answers a HEAD: what a body would be is the next answer's to whoever sent it. */
export function answerHead(res: HttpResponse, status: number, headers: Readonly<Record<string, string>> = {}): void {
  res.cork(() => {
    res.writeStatus(`${status} ${REASONS[status] ?? "Unknown"}`);
    for (const [name, value] of Object.entries(headers)) res.writeHeader(name, value);
    writeCarried(res);
    res.endWithoutBody();
  });
}

/** [HTTP-2] Answers with an error. */
export function answerError(
  res: HttpResponse,
  code: ErrorCode,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  answer(res, ERRORS[code].status, { error: errorPayload(code, message) }, headers);
}

/** [HTTP-2] Answers who is refused, and says when to come back where that is known [LIMIT-1]. */
export function answerRefusal(res: HttpResponse, { code, message, retryAfterMs }: Refusal): void {
  answerError(res, code, message, retryAfter(retryAfterMs));
}

/** [LIMIT-1] The header that says when to come back, where that is known. */
export function retryAfter(retryAfterMs: number | undefined): Readonly<Record<string, string>> {
  return retryAfterMs === undefined ? {} : { "retry-after": String(Math.ceil(retryAfterMs / 1_000)) };
}
