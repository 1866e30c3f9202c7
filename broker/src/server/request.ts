import type { HttpRequest } from "uWebSockets.js";
import type { Credentials } from "../auth/resolve-principal.ts";
import { parseCredentials } from "./credentials.ts";

// A request dies with its callback: what is needed later is read here, first.

/** The channel that a path names; empty if it cannot be read, which is no channel. */
export function channelOf(req: HttpRequest): string {
  try {
    return decodeURIComponent(req.getParameter(0) ?? "");
  } catch {
    return "";
  }
}

export function credentialsOf(req: HttpRequest): Credentials {
  return parseCredentials({ apiKey: req.getHeader("x-api-key"), authorization: req.getHeader("authorization") });
}

/** The query as it came, without the `?`; empty if there is none. */
export function queryOf(req: HttpRequest): string {
  return req.getQuery() ?? "";
}
