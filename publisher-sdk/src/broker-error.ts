import { ERRORS } from "@kata/protocol/wire";
import type { HttpAnswer } from "./broker-http.ts";

/** Why a broker refused a request. */
export interface BrokerError {
  readonly code: keyof typeof ERRORS;
  /** One line for a person. */
  readonly message: string;
}

/**
 * The error that a broker answered [HTTP-2]; `undefined` for what is none. Whoever stands in between (a gateway, a firewall) answers as it
 * likes, JSON with an `error` and a `code` included: a broker's has one of the protocol's codes, the status of that code, and says truly
 * whether it is worth trying again.
 */
export function brokerErrorOf({ status, body }: Pick<HttpAnswer, "status" | "body">): BrokerError | undefined {
  const error = isObject(body) ? body.error : undefined;
  if (!isObject(error)) return undefined;
  const { code, message, retryable } = error;
  if (typeof code !== "string" || typeof message !== "string" || !isCode(code)) return undefined;
  return ERRORS[code].status === status && ERRORS[code].retryable === retryable ? { code, message } : undefined;
}

function isCode(code: string): code is keyof typeof ERRORS {
  return Object.hasOwn(ERRORS, code);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
