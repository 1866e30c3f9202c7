import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import { ERRORS, type ErrorCode } from "@kata/protocol/wire";
import { errorPayload } from "./wire-error.ts";

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
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
    // The rest of a body that is too large is not read: the connection is of no further use.
    res.end(json, status === 413);
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
