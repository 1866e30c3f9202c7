import { connect, type NatsConnection } from "@nats-io/transport-node";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { inboxPrefixOf } from "../../broker/src/callout/permissions.ts";
import { BROKER_LOGIN, CALLOUT } from "../support/nats-secrets.ts";
import {
  ADMIN_ENTRANCES,
  DATA_ENTRANCES,
  type Entrance,
  enter,
  knockAs,
  NATS_ENTRANCES,
  WAYS,
  watched,
} from "./matrix-entrances.ts";
import { type Kept, type MatrixBroker, openBroker, PATIENCE, startKept } from "./matrix-rig.ts";
import { fillIn, linesOf, parseTable, type Table, withColumns } from "./matrix-table.ts";

// Every entrance × every kind of credential. The tables are what must happen, written by hand; a row is a credential, a
// column an entrance, and everything that is asked for is t1's. What each cell leaves in the log and in the buckets is
// looked at as well: a refusal that stored something, and a pass that stored nothing, show in the cell.

const JWT_SECRET = "the-secret-of-the-matrix-of-32-bytes";
const HOUR = 3_600_000;

type Credentials = Record<string, string | undefined>;

let kept: Kept;
let broker: MatrixBroker;
let keys: Credentials;
let tokens: Credentials;
let ids: Credentials;

beforeAll(async () => {
  kept = await startKept();
  broker = await openBroker(kept, { ...CALLOUT, jwtSecret: JWT_SECRET, jwtAudience: "kata" });
  await kept.channels.register("t1", "spec:s1");
  await kept.seed("kata.team.t1.spec.s1");
  keys = await makeKeys();
  tokens = await makeTokens();
  ids = await makeSessions();
  // What was made last is known to the broker: so is everything before it.
  const history = DATA_ENTRANCES.history as Entrance;
  await vi.waitFor(
    async () => expect(await enter(history, target(keys.right), WAYS.bearer(keys.right))).toBe("200"),
    PATIENCE,
  );
});
afterAll(async () => {
  await broker?.close();
  await kept?.[Symbol.asyncDispose]();
});

async function makeKeys(): Promise<Credentials> {
  const all = ["subscribe", "publish", "admin"] as const;
  const make = async (more: Partial<Parameters<Kept["keys"]["create"]>[0]> = {}) =>
    await kept.keys.create({ teamId: "t1", scopes: all, ...more });
  const revoked = await make();
  await kept.keys.revoke("t1", revoked.keyId);
  const rotated = await make();
  await kept.keys.rotate("t1", rotated.keyId);
  const wrong = await make();
  return {
    none: undefined,
    malformed: "kat_live_nothing",
    "wrong secret": `${wrong.key.slice(0, -1)}${wrong.key.endsWith("a") ? "b" : "a"}`,
    "wrong id": wrong.key.replace(wrong.keyId, "0123456789abcdef"),
    expired: (await kept.past.keys.create({ teamId: "t1", scopes: all, expiresAt: Date.now() - 1 })).key,
    revoked: revoked.key,
    "rotated away": rotated.key,
    "another team's": (await make({ teamId: "t2" })).key,
    "only subscribe": (await make({ scopes: ["subscribe"] })).key,
    "only publish": (await make({ scopes: ["publish"] })).key,
    "only admin": (await make({ scopes: ["admin"] })).key,
    "another channel's": (await make({ scopes: ["subscribe", "publish"], channels: ["spec:s2"] })).key,
    "channel's admin": await makeChannelAdmin(),
    right: (await make()).key,
  };
}

/** A key that brokers do not make: an administrator who is limited to a channel, and could make a key that is not. */
async function makeChannelAdmin(): Promise<string> {
  const { keyId, key } = await kept.keys.create({ teamId: "t1", scopes: ["admin"] });
  const entry = await kept.keyBucket.get(keyId);
  const record = JSON.parse(Buffer.from(entry?.value ?? []).toString()) as object;
  const limited = Buffer.from(JSON.stringify({ ...record, channels: ["spec:s2"] }));
  expect(await kept.keyBucket.update(keyId, limited, entry?.revision ?? 0)).toBeDefined();
  return key;
}

async function makeTokens(): Promise<Credentials> {
  const make = ({ teamId = "t1", secret = JWT_SECRET, audience = "kata", from = 0, until = HOUR, claims = {} } = {}) =>
    new SignJWT({ team_id: teamId, ...claims })
      .setProtectedHeader({ alg: "HS256" })
      .setSubject("ann")
      .setAudience(audience)
      .setNotBefore(Math.floor((Date.now() + from) / 1_000))
      .setExpirationTime(Math.floor((Date.now() + until) / 1_000))
      .sign(new TextEncoder().encode(secret));
  const right = await make();
  const [, payload] = right.split(".");
  const none = Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url");
  return {
    none: undefined,
    malformed: "a.b.c",
    unsigned: `${none}.${payload}.`,
    "another issuer's": await make({ secret: "somebody-elses-secret-of-32-bytes!" }),
    "another audience's": await make({ audience: "billing" }),
    "not yet valid": await make({ from: HOUR, until: 2 * HOUR }),
    "no team": await make({ claims: { team_id: "t1.>" } }),
    expired: await make({ from: -2 * HOUR, until: -HOUR }),
    "another team's": await make({ teamId: "t2" }),
    right,
  };
}

async function makeSessions(): Promise<Credentials> {
  const make = (teamId = "t1", store = kept.sessions, expiresAt = Date.now() + HOUR) =>
    store.create({ userId: "ann", teamId, expiresAt });
  const revoked = await make();
  await kept.sessions.revoke(revoked);
  const right = await make();
  return {
    none: undefined,
    malformed: "kss_short",
    wrong: `kss_${"0".repeat(43)}`,
    expired: await make("t1", kept.past.sessions, Date.now() - 1),
    revoked,
    "another team's": await make("t2"),
    right,
  };
}

function target(right: string | undefined) {
  return { broker, kept, channel: "spec:s1", opener: WAYS.bearer(right) };
}

const ENTRANCES = { ...DATA_ENTRANCES, ...ADMIN_ENTRANCES };

/** Tries every cell. A table that leaves out a credential is not one of them all. */
async function expectTable(table: Table, credentials: Credentials, way: keyof typeof WAYS): Promise<void> {
  expect(table.rows.map(({ name }) => name)).toEqual(Object.keys(credentials));
  const filled = await fillIn(table, (row, column) =>
    enter(ENTRANCES[column] as Entrance, target(credentials.right), WAYS[way](credentials[row])),
  );
  expect(linesOf(filled)).toEqual(linesOf(table));
}

// A client that offers nothing else beside its bearer takes no connection.
const BROWSERS = ["ws kata.v1"];

const KEYS_DATA = parseTable(`
                  | publish             | publish stream      | history             | stream              | ws                  | ws kata.v1           | ws auth
none              | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error invalid_command
malformed         | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
wrong secret      | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
wrong id          | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
expired           | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
revoked           | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
rotated away      | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
another team's    | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | error forbidden     | error forbidden      | error forbidden
only subscribe    | 403 forbidden       | 403 forbidden       | 200                 | 200                 | ok                  | ok                   | error forbidden
only publish      | 201                 | 200                 | 403 forbidden       | 403 forbidden       | error forbidden     | error forbidden      | error forbidden
only admin        | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | error forbidden     | error forbidden      | error forbidden
another channel's | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | error forbidden     | error forbidden      | error forbidden
channel's admin   | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | error forbidden     | error forbidden      | error forbidden
right             | 201                 | 200                 | 200                 | 200                 | ok                  | ok                   | authenticated t1
`);

// Keys, sessions and channels of its own team are another team's to make; t1's are not there for it.
const KEYS_ADMIN = parseTable(`
                  | POST keys           | GET keys            | rotate key          | DELETE key          | POST sessions       | DELETE session      | PUT new channel     | PUT channel of t1   | DELETE channel
none              | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
malformed         | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
wrong secret      | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
wrong id          | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
expired           | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
revoked           | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
rotated away      | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
another team's    | 201 t2              | 200 t2              | 404 not_found       | 404 not_found       | 201 t2              | 404 not_found       | 201 t2              | 409 taken           | 404 not_found
only subscribe    | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden
only publish      | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden
only admin        | 201 t1              | 200 t1              | 200 t1              | 204                 | 201 t1              | 204                 | 201 t1              | 200 t1              | 204
another channel's | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden
channel's admin   | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden
right             | 201 t1              | 200 t1              | 200 t1              | 204                 | 201 t1              | 204                 | 201 t1              | 200 t1              | 204
`);

describe("[CONNECT-2] API keys", () => {
  it.each(["X-API-Key", "bearer"] as const)("as %s", async (way) => {
    await expectTable(KEYS_DATA, keys, way);
    await expectTable(KEYS_ADMIN, keys, way);
  });

  it("as subprotocol", () => expectTable(withColumns(KEYS_DATA, BROWSERS), keys, "subprotocol"));
});

// There is nothing to revoke: a token is right until it ends.
const TOKENS_DATA = parseTable(`
                   | publish             | publish stream      | history             | stream              | ws                  | ws kata.v1           | ws auth
none               | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error invalid_command
malformed          | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
unsigned           | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
another issuer's   | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
another audience's | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
not yet valid      | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
no team            | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
expired            | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 4401 token_expired   | error token_expired
another team's     | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | error forbidden     | error forbidden      | error forbidden
right              | 201                 | 200                 | 200                 | 200                 | ok                  | ok                   | authenticated t1
`);

// Users administer nothing.
const TOKENS_ADMIN = parseTable(`
                   | POST keys           | GET keys            | rotate key          | DELETE key          | POST sessions       | DELETE session      | PUT new channel     | PUT channel of t1   | DELETE channel
none               | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
malformed          | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
unsigned           | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
another issuer's   | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
another audience's | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
not yet valid      | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
no team            | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
expired            | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired
another team's     | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden
right              | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden
`);

describe("[CONNECT-2] tokens (JWT)", () => {
  it("as bearer", async () => {
    await expectTable(TOKENS_DATA, tokens, "bearer");
    await expectTable(TOKENS_ADMIN, tokens, "bearer");
  });

  it("as subprotocol", () => expectTable(withColumns(TOKENS_DATA, BROWSERS), tokens, "subprotocol"));

  it("are no API keys", async () => {
    const filled = await fillIn(NO_KEYS, (row, column) =>
      enter(
        ENTRANCES[column] as Entrance,
        target(keys.right),
        WAYS["X-API-Key"](row === "token" ? tokens.right : ids.right),
      ),
    );
    expect(linesOf(filled)).toEqual(linesOf(NO_KEYS));
  });
});

const NO_KEYS = parseTable(`
           | publish             | publish stream      | history             | stream              | ws                  | ws kata.v1           | GET keys
token      | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | 401 unauthenticated
session id | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | 401 unauthenticated
`);

const SESSIONS_DATA = parseTable(`
               | publish             | publish stream      | history             | stream              | ws                  | ws kata.v1           | ws auth
none           | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error invalid_command
malformed      | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
wrong          | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
expired        | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 4401 token_expired   | error token_expired
revoked        | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | error unauthenticated
another team's | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | error forbidden     | error forbidden      | error forbidden
right          | 201                 | 200                 | 200                 | 200                 | ok                  | ok                   | authenticated t1
`);

const SESSIONS_ADMIN = parseTable(`
               | POST keys           | GET keys            | rotate key          | DELETE key          | POST sessions       | DELETE session      | PUT new channel     | PUT channel of t1   | DELETE channel
none           | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
malformed      | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
wrong          | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
expired        | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired   | 401 token_expired
revoked        | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated
another team's | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden
right          | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden       | 403 forbidden
`);

/** A cookie is not looked at, whatever it holds. */
const everywhere = (table: Table, http: string, close: string): Table => ({
  ...table,
  rows: table.rows.map(({ name, cells }) => ({
    name,
    cells: name === "none" ? cells : table.columns.map((column) => (column === "ws kata.v1" ? close : http)),
  })),
});
const COOKIE_DATA = ["publish", "history", "stream", "ws", "ws kata.v1"];

describe("session ids (kss_…)", () => {
  it("[CONNECT-2] as bearer", async () => {
    await expectTable(SESSIONS_DATA, ids, "bearer");
    await expectTable(SESSIONS_ADMIN, ids, "bearer");
  });

  it("[CONNECT-2] as subprotocol", () => expectTable(withColumns(SESSIONS_DATA, BROWSERS), ids, "subprotocol"));

  it("[CONNECT-6] as cookie of a listed origin", async () => {
    await expectTable(withColumns(SESSIONS_DATA, COOKIE_DATA), ids, "cookie of a listed origin");
    await expectTable(SESSIONS_ADMIN, ids, "cookie of a listed origin");
  });

  it.each([
    ["cookie of another origin", "403 forbidden", "4504 forbidden"],
    ["cookie without an origin", "401 unauthenticated", "4501 unauthenticated"],
  ] as const)("[CONNECT-6] as %s: %s, the right one as well", async (way, http, close) => {
    await expectTable(everywhere(withColumns(SESSIONS_DATA, COOKIE_DATA), http, close), ids, way);
    await expectTable(everywhere(SESSIONS_ADMIN, http, close), ids, way);
  });
});

// The right key may do what a publisher does. The log, the buckets and the live feed are open to brokers alone.
const NATS = parseTable(`
                   | NATS publish          | NATS ask              | NATS subscribe        | live feed             | KV write              | KV read               | stream API
none               | refused               | refused               | refused               | refused               | refused               | refused               | refused
malformed          | refused               | refused               | refused               | refused               | refused               | refused               | refused
wrong secret       | refused               | refused               | refused               | refused               | refused               | refused               | refused
wrong id           | refused               | refused               | refused               | refused               | refused               | refused               | refused
expired            | refused               | refused               | refused               | refused               | refused               | refused               | refused
revoked            | refused               | refused               | refused               | refused               | refused               | refused               | refused
rotated away       | refused               | refused               | refused               | refused               | refused               | refused               | refused
another team's     | permissions violation | permissions violation | permissions violation | permissions violation | permissions violation | permissions violation | permissions violation
only subscribe     | refused               | refused               | refused               | refused               | refused               | refused               | refused
only publish       | ok                    | ok                    | permissions violation | permissions violation | permissions violation | permissions violation | permissions violation
only admin         | refused               | refused               | refused               | refused               | refused               | refused               | refused
another channel's  | permissions violation | ok                    | permissions violation | permissions violation | permissions violation | permissions violation | permissions violation
channel's admin    | refused               | refused               | refused               | refused               | refused               | refused               | refused
right              | ok                    | ok                    | permissions violation | permissions violation | permissions violation | permissions violation | permissions violation
a token (JWT)      | refused               | refused               | refused               | refused               | refused               | refused               | refused
a session id       | refused               | refused               | refused               | refused               | refused               | refused               | refused
the broker's login | ok                    | ok                    | ok                    | ok                    | ok                    | ok                    | ok
`);

describe("[NATS-1] [NATS-2] at NATS", () => {
  const login = (user: string, pass: string | undefined) => (pass === undefined ? {} : { user, pass });

  it.each(["token", "password"] as const)("as %s", async (way) => {
    const credentials: Credentials = {
      ...keys,
      "a token (JWT)": tokens.right,
      "a session id": ids.right,
      "the broker's login": BROKER_LOGIN.pass,
    };
    expect(NATS.rows.map(({ name }) => name)).toEqual(Object.keys(credentials));
    expect(NATS.columns).toEqual(Object.keys(NATS_ENTRANCES));
    const connections = new Map<string, Promise<NatsConnection | undefined>>();
    const connectAs = (row: string): Promise<NatsConnection | undefined> => {
      const text = credentials[row];
      const asToken = way === "token" && row !== "the broker's login";
      const user = row === "the broker's login" ? BROKER_LOGIN.user : "any";
      const who = asToken ? (text === undefined ? {} : { token: text }) : login(user, text);
      const options = { servers: kept.nats.publicUrl, inboxPrefix: inboxPrefixOf(text ?? ""), reconnect: false };
      return knockAs(connect({ ...options, ...who }));
    };
    const filled = await fillIn(NATS, async (row, column) => {
      const connection = connections.get(row) ?? connectAs(row);
      connections.set(row, connection);
      const { writes, attempt } = NATS_ENTRANCES[column] as (typeof NATS_ENTRANCES)[string];
      return await watched(kept, writes, async () => {
        const nc = await connection;
        return nc === undefined ? "refused" : await attempt(nc, kept);
      });
    });
    expect(linesOf(filled)).toEqual(linesOf(NATS));
    for (const each of connections.values()) await (await each)?.close();
  });
});
