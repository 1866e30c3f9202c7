import { BEARER_PREFIX, SUBPROTOCOL, SUBPROTOCOL_NDJSON } from "@kata/protocol/wire";
import type { Credentials } from "../auth/resolve-principal.ts";

export interface Subprotocols {
  /** The one to answer with, `undefined` if none that we speak was offered [CONNECT-3]. */
  readonly chosen: typeof SUBPROTOCOL | typeof SUBPROTOCOL_NDJSON | undefined;
  /** What a browser put there because it can set no header [CONNECT-2]. */
  readonly bearer: string | undefined;
}

/** Reads a `Sec-WebSocket-Protocol` header. */
export function parseSubprotocols(header: string): Subprotocols {
  const offered = header.split(",").map((each) => each.trim());
  const chosen = offered.find((each) => each === SUBPROTOCOL || each === SUBPROTOCOL_NDJSON);
  const bearer = offered.find((each) => each.startsWith(BEARER_PREFIX));
  return {
    chosen: chosen as Subprotocols["chosen"],
    bearer: bearer?.slice(BEARER_PREFIX.length),
  };
}

/** Reads the credential headers of a request; the first that is there counts [CONNECT-2]. */
export function parseCredentials(headers: {
  apiKey: string;
  authorization: string;
  bearer?: string | undefined;
}): Credentials {
  if (headers.apiKey !== "") return { apiKey: headers.apiKey };
  const match = /^Bearer +(\S+) *$/i.exec(headers.authorization);
  if (match !== null) return { token: match[1] };
  if (headers.bearer !== undefined) return { token: headers.bearer };
  return {};
}
