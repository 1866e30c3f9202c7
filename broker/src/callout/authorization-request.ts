import { verify } from "node:crypto";
import { verifyingKey } from "./account-key.ts";

/** What nats-server asks: somebody wants in. */
export interface AuthorizationRequest {
  /** The server's public key: the answer is for it alone. */
  readonly serverId: string;
  /** The name under which the server waits for the answer. */
  readonly userKey: string;
  /** What was presented: a token, or the password of a user. */
  readonly credential: string | undefined;
  /** Where the client connects from. */
  readonly address: string;
}

/**
 * Reads nats-server's question, a JWT that it has signed.
 *
 * @throws Error if it is none; the message holds nothing that was presented
 */
export function readAuthorizationRequest(jwt: string): AuthorizationRequest {
  const [header, body, signature, ...more] = jwt.split(".");
  if (header === undefined || body === undefined || signature === undefined || more.length > 0) {
    throw new Error("it is no JWT");
  }
  const claims = recordOf(parse(body));
  const nats = recordOf(claims.nats);
  const { iss, aud } = claims;
  const { user_nkey, client_info } = nats;
  const serverId = recordOf(nats.server_id).id;
  if (aud !== "nats-authorization-request" || typeof iss !== "string" || iss !== serverId) {
    throw new Error("it is no authorization request of a nats-server");
  }
  if (!/^N[A-Z2-7]{55}$/.test(iss) || typeof user_nkey !== "string" || !/^U[A-Z2-7]{55}$/.test(user_nkey)) {
    throw new Error("it names no server or no user");
  }
  if (!verify(null, Buffer.from(`${header}.${body}`), verifyingKey(iss), Buffer.from(signature, "base64url"))) {
    throw new Error("its signature is wrong");
  }
  const { auth_token, pass } = recordOf(nats.connect_opts);
  const credential = [auth_token, pass].find((each) => typeof each === "string" && each !== "");
  return {
    serverId: iss,
    userKey: user_nkey,
    credential: credential as string | undefined,
    address: addressOf(client_info),
  };
}

/** Where the client of a question connects from: enough to count it by, before anything is verified. */
export function addressIn(jwt: string): string {
  const { nats } = recordOf(parse(jwt.split(".")[1] ?? ""));
  return addressOf(recordOf(nats).client_info);
}

function addressOf(clientInfo: unknown): string {
  const { host } = recordOf(clientInfo);
  return typeof host === "string" ? host : "unknown";
}

function parse(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
  } catch {
    throw new Error("it is no JSON");
  }
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
