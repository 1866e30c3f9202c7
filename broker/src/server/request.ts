import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import type { Credentials } from "../auth/resolve-principal.ts";
import type { BrokerConfig } from "../config.ts";
import { addressKey } from "../limits/address-key.ts";
import { readCookie } from "./cookies.ts";
import { parseCredentials } from "./credentials.ts";
import { clientAddress } from "./limits/client-address.ts";

// A request dies with its callback: what is needed later is read here, first.

/** Who asks, as far as a request tells. */
export interface Caller {
  readonly credentials: Credentials;
  /** What limits count it by. */
  readonly address: string;
  /** The only credentials were a cookie, which a page that is not on the list made its browser send [CONNECT-6]. */
  readonly foreignOrigin: boolean;
}

/** The channel that a path names; empty if it cannot be read, which is no channel. */
export function channelOf(req: HttpRequest): string {
  try {
    return decodeURIComponent(req.getParameter(0) ?? "");
  } catch {
    return "";
  }
}

/** How long the body is, as far as it is announced, bytes. */
export function lengthOf(req: HttpRequest): number | undefined {
  const length = req.getHeader("content-length");
  return /^\d+$/.test(length) ? Number(length) : undefined;
}

/** What is wrong with how the body is coded: it is taken as it is, in chunks or not; `undefined` if nothing is. */
export function codingProblem(req: HttpRequest): string | undefined {
  for (const [name, plain] of [
    ["content-encoding", "identity"],
    ["transfer-encoding", "chunked"],
  ] as const) {
    const coding = req.getHeader(name).trim().toLowerCase();
    if (coding !== "" && coding !== plain) {
      return `send the body uncompressed: ${name} ${coding.slice(0, 40)} is not supported`;
    }
  }
  return undefined;
}

/** @param bearer credentials that came as a subprotocol */
export function callerOf(
  res: HttpResponse,
  req: HttpRequest,
  config: Pick<BrokerConfig, "sessionCookie" | "allowedOrigins" | "trustedProxies">,
  bearer?: string,
): Caller {
  const explicit = parseCredentials({
    apiKey: req.getHeader("x-api-key"),
    authorization: req.getHeader("authorization"),
    bearer,
  });
  const address = addressOf(res, req, config);
  const { sessionCookie } = config;
  if (sessionCookie === undefined || Object.keys(explicit).length > 0) {
    return { credentials: explicit, address, foreignOrigin: false };
  }
  // A browser sends a cookie whoever's page asked; only the origin says who did.
  const sessionId = readCookie(req.getHeader("cookie"), sessionCookie);
  const origin = req.getHeader("origin");
  const allowed = config.allowedOrigins.includes(origin);
  return {
    credentials: sessionId !== undefined && allowed ? { sessionId } : {},
    address,
    foreignOrigin: sessionId !== undefined && origin !== "" && !allowed,
  };
}

/** The query as it came, without the `?`; empty if there is none. */
export function queryOf(req: HttpRequest): string {
  return req.getQuery() ?? "";
}

function addressOf(res: HttpResponse, req: HttpRequest, { trustedProxies }: Pick<BrokerConfig, "trustedProxies">) {
  const peer = Buffer.from(res.getRemoteAddressAsText()).toString("latin1");
  if (trustedProxies.hops === 0) return addressKey(clientAddress(peer, "", trustedProxies));
  // Some proxies add a line of their own to those that came, and getHeader gives the first.
  const lines: string[] = [];
  req.forEach((name, value) => {
    if (name === "x-forwarded-for") lines.push(value);
  });
  return addressKey(clientAddress(peer, lines.join(","), trustedProxies));
}
