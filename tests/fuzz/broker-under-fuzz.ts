import { createHmac } from "node:crypto";
import { expect } from "vitest";
import { type BrokerProcess, spawnBroker } from "../support/broker.ts";
import { freePort } from "../support/free-port.ts";
import type { TestNats } from "../support/nats.ts";
import type { Tokens } from "./commands.ts";
import { MAX_COMMAND_BYTES, MAX_SUBSCRIPTIONS } from "./frame-oracle.ts";

const JWT_SECRET = "a secret of the fuzz test and of nobody else";
/** pino's number for `error`. */
const ERROR_LEVEL = 50;

export interface BrokerUnderFuzz extends AsyncDisposable {
  readonly broker: BrokerProcess;
  readonly tokens: Tokens;
  /** A key of the same team that may subscribe and nothing else. */
  readonly readerKey: string;
  /** Lines of its log that say that something failed, and all that is no line of its log. */
  readonly complaints: readonly string[];
  /** Sockets and event streams that are open. */
  connections(): Promise<number>;
}

/**
 * A broker in a process of its own. Limits that would answer before anything is looked at are off, what it may remember is
 * little, so that its memory shows what it should have forgotten.
 */
export async function startBrokerUnderFuzz(nats: TestNats): Promise<BrokerUnderFuzz> {
  const complaints: string[] = [];
  const metricsPort = await freePort();
  const broker = await spawnBroker({
    nats,
    env: {
      // What is garbage is collected soon, and given back: memory says what is kept.
      NODE_OPTIONS: "--max-semi-space-size=4",
      MALLOC_ARENA_MAX: "2",
      KATA_METRICS_PORT: String(metricsPort),
      KATA_LOG_LEVEL: "info",
      KATA_JWT_SECRET: JWT_SECRET,
      KATA_ALLOWED_ORIGINS: "https://app.example.com",
      KATA_SESSION_COOKIE: "kata_session",
      WS_MAX_COMMAND_BYTES: String(MAX_COMMAND_BYTES),
      WS_MAX_SUBSCRIPTIONS_PER_CONNECTION: String(MAX_SUBSCRIPTIONS),
      WS_MAX_ERRORS_PER_MINUTE: "1000000",
      WS_MAX_COMMANDS_PER_SECOND: "0",
      KATA_MAX_NEW_CONNECTIONS_PER_SECOND: "0",
      KATA_MAX_FAILED_AUTHS_PER_MINUTE: "0",
      HTTP_MAX_REQUESTS_PER_SECOND: "0",
      HTTP_MAX_PUBLISH_BYTES_PER_SECOND: "0",
      KATA_RING_BYTES: "65536",
      KATA_RING_TOTAL_BYTES: "4194304",
      KATA_PAGE_CACHE_BYTES: "1048576",
      KATA_CHANNEL_LINGER_MS: "1000",
    },
    onLine: (line) => {
      if (levelOf(line) >= ERROR_LEVEL) complaints.push(line);
    },
  });
  const session = (expiresAt: number) => jwt({ sub: "u1", team_id: broker.teamId, exp: Math.floor(expiresAt / 1_000) });
  const readerKey = await createKey(broker, ["subscribe"]);
  return {
    broker,
    tokens: {
      own: broker.apiKey,
      others: [readerKey, session(Date.now() + 3_600_000)],
      expired: session(Date.now() - 3_600_000),
    },
    readerKey,
    complaints,
    async connections() {
      const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
      return [...text.matchAll(/^kata_connections\{.*\} (\d+)$/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
    },
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  };
}

async function createKey(broker: BrokerProcess, scopes: readonly string[]): Promise<string> {
  const response = await fetch(`${broker.httpUrl}/v1/keys`, {
    method: "POST",
    headers: { "x-api-key": broker.apiKey },
    body: JSON.stringify({ scopes }),
  });
  expect(response.status).toBe(201);
  return ((await response.json()) as { key: string }).key;
}

function jwt(claims: object): string {
  const part = (json: object) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const signed = `${part({ alg: "HS256" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", JWT_SECRET).update(signed).digest("base64url")}`;
}

/** What is no line of the log is as bad as the worst. */
function levelOf(line: string): number {
  try {
    const { level } = JSON.parse(line) as { readonly level?: unknown };
    return typeof level === "number" ? level : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
