import type { KeyPair } from "@nats-io/jwt";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import type { Credentials, Resolution } from "../auth/resolve-principal.ts";
import { isRevoked, type Revocation } from "../auth/revocation.ts";
import { TokenBucket } from "../limits/token-bucket.ts";
import type { Logger } from "../logger.ts";
import { createSigningKey } from "./account-key.ts";
import { admission, refusal } from "./answers.ts";
import { type AuthorizationRequest, addressIn, readAuthorizationRequest } from "./authorization-request.ts";
import { type CurveKey, createCurveKey } from "./curve-key.ts";
import { type Decision, decide } from "./decide.ts";
import { Knocks } from "./knocks.ts";
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

const UNREADABLE = "nats-server's question who may connect cannot be read: nobody is let in";
const CROWDED = "too much comes from one address at NATS that is not let in: it is not looked at for a while";
const FLOODED = "more publishers want in at NATS than are looked at a second: some are refused";
const JUST_REVOKED: Decision = { kind: "unknown", cause: "its API key has just been revoked" };

export interface CalloutOptions {
  readonly nc: NatsConnection;
  /** The seed of the account key that nats.conf trusts as `issuer`. */
  readonly authSeed: string;
  /** The seed of the curve key that nats.conf names as `xkey`. */
  readonly xkeySeed: string;
  readonly resolve: (credentials: Credentials) => Promise<Resolution>;
  readonly logger: Logger;
}

/**
 * How many questions are opened a second, in a burst twice as many: each costs some 0.05 ms, and strangers can make NATS ask.
 * Beyond, nobody is heard.
 */
const OPENED_PER_SECOND = 2_000;
/** How many of those are answered, of all addresses together: each costs some 0.4 ms. */
const ANSWERED = { atATime: 256, perSecond: 500 };

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
 * is how a publisher tells an outage from a refusal. It is silent as well where too many come, of one address or in all.
 *
 * @throws Error with a line that says which seed cannot be used
 */
export function serveCallout(options: CalloutOptions): Callout {
  const { nc, resolve, logger } = options;
  const issuer = keyOf("KATA_NATS_AUTH_SEED", () => createSigningKey(options.authSeed));
  const curve = keyOf("KATA_NATS_XKEY_SEED", () => createCurveKey(options.xkeySeed));
  const opened = new TokenBucket(OPENED_PER_SECOND, 2 * OPENED_PER_SECOND, performance.now());
  const knocks = new Knocks();
  const workload = new Workload(ANSWERED);
  const report = createReport(logger);
  let recent: { readonly revocation: Revocation; readonly at: number }[] = [];

  /** Answers, and returns whether whoever wants in is refused. */
  const answer = async (msg: Msg, question: Question): Promise<boolean> => {
    const startedAt = performance.now();
    const request = readAuthorizationRequest(question.jwt);
    const decided = await decide(request.credential, resolve, DEADLINE_MS);
    const text = await answerTo(request, decided, issuer);
    // From here on nothing is awaited: what was not revoked by now will find a connection to end.
    const decision = revokedSince(decided, startedAt) ? JUST_REVOKED : decided;
    if (decision.kind !== "let_in") {
      const { cause, details } = decision;
      report({ address: request.address, ...details }, `refused a publisher at NATS: ${cause}`);
    }
    if (decision.kind === "unknown" || text === undefined) return false;
    msg.respond(curve.seal(new TextEncoder().encode(text), question.serverKey));
    return decision.kind === "refused";
  };

  const asked = (msg: Msg): void => {
    if (!opened.take(performance.now())) return report({}, FLOODED);
    const question = open(msg, curve);
    if (question instanceof Error) return report({ err: question }, UNREADABLE);
    const { address } = question;
    const end = knocks.begin(address);
    if (end === undefined) return report({ address }, CROWDED);
    const started = workload.start(async () => {
      try {
        end(await answer(msg, question));
      } catch (error) {
        end(false);
        report({ err: error }, UNREADABLE);
      }
    });
    if (started) return;
    end(false);
    report({ address }, FLOODED);
  };

  const revokedSince = (decision: Decision, since: number): boolean =>
    decision.kind === "let_in" &&
    recent.some(({ revocation, at }) => at >= since && isRevoked(decision.principal, revocation));

  const subscription = nc.subscribe(SUBJECT, {
    queue: QUEUE,
    callback: (error, msg) => {
      if (error === null) asked(msg);
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

interface Question {
  readonly jwt: string;
  /** The curve key of the server that asks. */
  readonly serverKey: string;
  /** Of the client, as the question says that is not verified yet. */
  readonly address: string;
}

function open(msg: Msg, curve: CurveKey): Question | Error {
  const serverKey = msg.headers?.get(XKEY_HEADER);
  if (!serverKey) return new Error("it is not encrypted: set auth_callout.xkey");
  try {
    const opened = curve.open(msg.data, serverKey);
    if (opened === undefined) return new Error("it is encrypted for another key than that of KATA_NATS_XKEY_SEED");
    const jwt = new TextDecoder().decode(opened);
    return { jwt, serverKey, address: addressIn(jwt) };
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

function keyOf<T>(variable: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new Error(`${variable} is no seed: make new ones with "kata nats-secrets"`, { cause: error });
  }
}
