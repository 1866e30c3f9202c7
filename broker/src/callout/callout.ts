import { fromSeed, type KeyPair } from "@nats-io/jwt";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import type { Credentials, Resolution } from "../auth/resolve-principal.ts";
import { isRevoked, type Revocation } from "../auth/revocation.ts";
import type { Logger } from "../logger.ts";
import { createSigningKey } from "./account-key.ts";
import { admission, refusal } from "./answers.ts";
import { type AuthorizationRequest, readAuthorizationRequest } from "./authorization-request.ts";
import { type Decision, decide } from "./decide.ts";
import { createReport } from "./report.ts";
import { Workload } from "./workload.ts";

const SUBJECT = "$SYS.REQ.USER.AUTH";
/** Of all brokers one answers. */
const QUEUE = "kata-callout";
const XKEY_HEADER = "Nats-Server-Xkey";
/** nats.conf gives 3 seconds in all. */
const DEADLINE_MS = 2_000;
/** Revocations that came so long ago have been seen by whoever answers now. */
const RECENT_MS = 10_000;

const JUST_REVOKED: Decision = { kind: "unknown", cause: "its API key has just been revoked" };

export interface CalloutOptions {
  readonly nc: NatsConnection;
  /** The seed of the account key that nats.conf trusts as `issuer`. */
  readonly authSeed: string;
  /** The seed of the curve key that nats.conf names as `xkey`. */
  readonly xkeySeed: string;
  readonly resolve: (credentials: Credentials) => Promise<Resolution>;
  readonly logger: Logger;
  /**
   * How many questions are worked on at a time and a second; beyond, whoever wants in is refused. Default 256 at a time and
   * 100 a second, in a burst 200: each costs two milliseconds, and strangers can make NATS ask.
   */
  readonly limits?: { readonly atATime: number; readonly perSecond: number };
}

export interface Callout {
  /** Who is let in from now on was not revoked by this. */
  revoked(revocation: Revocation): void;
  close(): void;
}

/**
 * Answers nats-server's question whether a client may connect, with what the broker's own resolver says of its API key [NATS-1].
 *
 * Outside there is one answer to everything that is wrong: "Authorization Violation". Whoever is refused gets it at once.
 * Where it cannot be known who it is, the broker keeps silent, and nats-server refuses when its time is up: late, which
 * is how a publisher tells an outage from a refusal.
 *
 * @throws Error with a line that says which seed cannot be used
 */
export function serveCallout(options: CalloutOptions): Callout {
  const { nc, resolve, logger, limits = { atATime: 256, perSecond: 100 } } = options;
  const issuer = keyOf("KATA_NATS_AUTH_SEED", () => createSigningKey(options.authSeed));
  const curve = keyOf("KATA_NATS_XKEY_SEED", () => fromSeed(new TextEncoder().encode(options.xkeySeed)));
  const workload = new Workload(limits);
  const report = createReport(logger);
  let recent: { readonly revocation: Revocation; readonly at: number }[] = [];

  const answer = async (msg: Msg): Promise<void> => {
    const startedAt = performance.now();
    const serverKey = msg.headers?.get(XKEY_HEADER);
    if (!serverKey) {
      report({}, "nats-server asks in plain text who may connect: set auth_callout.xkey, nobody is let in");
      return;
    }
    const request = open(msg.data, serverKey, curve);
    if (request instanceof Error) {
      report({ err: request }, "nats-server's question who may connect cannot be read: nobody is let in");
      return;
    }
    const decided = await decide(request.credential, resolve, DEADLINE_MS);
    const text = await answerTo(request, decided, issuer);
    // From here on nothing is awaited: what was not revoked by now will find a connection to end.
    const decision = revokedSince(decided, startedAt) ? JUST_REVOKED : decided;
    if (decision.kind !== "let_in") {
      const { cause, details } = decision;
      report({ address: request.address, ...details }, `refused a publisher at NATS: ${cause}`);
    }
    if (decision.kind === "unknown" || text === undefined) return;
    msg.respond(curve.seal(new TextEncoder().encode(text), serverKey));
  };

  const revokedSince = (decision: Decision, since: number): boolean =>
    decision.kind === "let_in" &&
    recent.some(({ revocation, at }) => at >= since && isRevoked(decision.principal, revocation));

  const subscription = nc.subscribe(SUBJECT, {
    queue: QUEUE,
    callback: (error, msg) => {
      if (error !== null) return;
      const started = workload.start(() =>
        answer(msg).catch((reason: unknown) => report({ err: reason }, "a question of nats-server was not answered")),
      );
      if (!started) report({}, "more publishers want in than are looked at a second: some are refused");
    },
  });
  return {
    revoked(revocation) {
      const now = performance.now();
      recent = [...recent.filter(({ at }) => now - at < RECENT_MS), { revocation, at: now }];
    },
    close() {
      if (!nc.isClosed()) subscription.unsubscribe();
    },
  };
}

function open(data: Uint8Array, serverKey: string, curve: KeyPair): AuthorizationRequest | Error {
  try {
    const opened = curve.open(data, serverKey);
    if (opened === null) return new Error("it is encrypted for another key than that of KATA_NATS_XKEY_SEED");
    return readAuthorizationRequest(new TextDecoder().decode(opened));
  } catch (error) {
    return error instanceof Error ? error : new Error("it cannot be read");
  }
}

async function answerTo(
  request: AuthorizationRequest,
  decision: Decision,
  issuer: KeyPair,
): Promise<string | undefined> {
  if (decision.kind === "unknown") return undefined;
  if (decision.kind === "refused") return await refusal(request, issuer);
  return await admission(request, decision.principal, decision.key, issuer);
}

function keyOf(variable: string, make: () => KeyPair): KeyPair {
  try {
    return make();
  } catch (error) {
    throw new Error(`${variable} is no seed: make new ones with "kata nats-secrets"`, { cause: error });
  }
}
