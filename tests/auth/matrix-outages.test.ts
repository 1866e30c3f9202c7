import type { ApiKeyAuth, ChannelAccess, SessionStore } from "@kata/broker";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { ApiKeyPrincipal, SessionPrincipal } from "../../broker/src/auth/principal.ts";
import { inboxPrefixOf } from "../../broker/src/callout/permissions.ts";
import { startNatsProxy } from "../support/nats-proxy.ts";
import { CALLOUT } from "../support/nats-secrets.ts";
import {
  ADMIN_ENTRANCES,
  DATA_ENTRANCES,
  type Entrance,
  enter,
  enterAll,
  knockAs,
  NATS_ENTRANCES,
  type Presented,
  type Target,
  WAYS,
  watched,
} from "./matrix-entrances.ts";
import { type Kept, openBroker, PATIENCE, startKept } from "./matrix-rig.ts";
import { fillInRows, linesOf, parseTable, type Table, withColumns } from "./matrix-table.ts";
import { opens } from "./revocation-rig.ts";

// Every entrance × every way in which an adapter can fail, for a credential that would be right otherwise. The first row
// is the same with an adapter that does not fail: there, all of it passes.

/** KATA_AUTH_TIMEOUT_MS. */
const TIMEOUT_MS = 500;

/** Answers that have not come yet. */
const late: Promise<unknown>[] = [];

type Failure<T> = (right: T) => unknown;

function answersLate<T>(right: T): Promise<T> {
  const answer = new Promise<T>((resolve) => setTimeout(() => resolve(right), 2 * TIMEOUT_MS));
  late.push(answer);
  return answer;
}

/** How anything at all fails. */
const ANY: Readonly<Record<string, Failure<unknown>>> = {
  healthy: async (right) => right,
  throws: () => {
    throw new Error("away");
  },
  rejects: () => Promise.reject(new Error("away")),
  "rejects with nothing": () => Promise.reject(undefined),
  "never answers": () => new Promise(() => undefined),
  "answers late": answersLate,
  "answers true": async () => true,
  "answers {}": async () => ({}),
};

const PRINCIPALS: Readonly<Record<string, Failure<object>>> = {
  ...ANY,
  "answers null": async () => null,
  "answers its name": async () => "t1",
  "no type": async (right) => ({ ...right, type: undefined }),
  "a type of its own": async (right) => ({ ...right, type: "root" }),
  "team t1.>": async (right) => ({ ...right, teamId: "t1.>" }),
  "team *": async (right) => ({ ...right, teamId: "*" }),
  "team [t1]": async (right) => ({ ...right, teamId: ["t1"] }),
  "ends never": async (right) => ({ ...right, expiresAt: Number.POSITIVE_INFINITY }),
  "ends some day": async (right) => ({ ...right, expiresAt: "2100-01-01T00:00:00Z" }),
};

const KEYS: Readonly<Record<string, Failure<object>>> = {
  ...PRINCIPALS,
  "scope root": async (right) => ({ ...right, scopes: ["subscribe", "publish", "admin", "root"] }),
  "scopes all": async (right) => ({ ...right, scopes: "subscribe publish admin" }),
  "channel *": async (right) => ({ ...right, channels: ["*"] }),
};
const SESSIONS: Readonly<Record<string, Failure<object>>> = {
  ...PRINCIPALS,
  "no user": async (right) => ({ ...right, userId: undefined }),
};
const OWNERS: Readonly<Record<string, Failure<unknown>>> = {
  ...ANY,
  "answers another team": async () => "t2",
  "answers t1.>": async () => "t1.>",
  "answers T1": async () => "T1",
  "answers [t1]": async () => ["t1"],
  "answers a String": async () => Object("t1"),
};

const KEY: ApiKeyPrincipal = { type: "api_key", teamId: "t1", keyId: "k", scopes: ["subscribe", "publish", "admin"] };
const USER: SessionPrincipal = { type: "session_user", teamId: "t1", userId: "ann", expiresAt: Date.now() + 3_600_000 };

/** A credential, or a channel's id, that names how it goes wrong. */
const nameOf = (row: string) => Buffer.from(row).toString("hex");
const keyOf = (row: string) => `kat_live_${nameOf(row)}`;

/** Looks it up in the way that its name says. */
function failing<T>(failures: Readonly<Record<string, Failure<T>>>, prefix: string, right: T) {
  const byName = new Map(Object.entries(failures).map(([row, failure]) => [prefix + nameOf(row), failure]));
  // Not an async function: one that throws has to throw.
  return (text: string) => (byName.get(text)?.(right) ?? Promise.resolve(undefined)) as Promise<never>;
}

let kept: Kept;

beforeAll(async () => {
  kept = await startKept();
  for (const row of Object.keys(OWNERS)) await kept.seed(`kata.team.t1.spec.${nameOf(row)}`);
  await kept.channels.register("t1", "spec:s1");
  await kept.seed("kata.team.t1.spec.s1");
});
afterAll(() => kept?.[Symbol.asyncDispose]());

const config = { authTimeoutMs: TIMEOUT_MS };
const ENTRANCES: Readonly<Record<string, Entrance>> = { ...DATA_ENTRANCES, ...ADMIN_ENTRANCES };

interface Trial {
  readonly broker: { readonly httpUrl: string; readonly wsUrl: string };
  readonly channelOf?: (row: string) => string;
  readonly present: (row: string) => Presented;
  readonly opener?: Presented;
  /** What is no entrance of a broker's own; the last columns. */
  readonly others?: Readonly<Record<string, (row: string) => Promise<string>>>;
}

async function expectTable(table: Table, failures: object, trial: Trial): Promise<void> {
  expect(table.rows.map(({ name }) => name)).toEqual(Object.keys(failures));
  const { broker, channelOf = () => "spec:s1", present, opener = present("healthy"), others = {} } = trial;
  const targetOf = (row: string): Target => ({ broker, kept, channel: channelOf(row), opener });
  const entrances = table.columns.flatMap((column) => ENTRANCES[column] ?? []);
  const filled = await fillInRows(table, async (row) => {
    const outcomes: string[] = [];
    // Who is let in leaves something: that is looked at one by one.
    if (row === "healthy") for (const each of entrances) outcomes.push(await enter(each, targetOf(row), present(row)));
    else outcomes.push(...(await enterAll(entrances, targetOf(row), present(row))));
    for (const column of table.columns.slice(entrances.length)) outcomes.push((await others[column]?.(row)) ?? "");
    return outcomes;
  });
  expect(linesOf(filled)).toEqual(linesOf(table));
  const { KATA: before, ...buckets } = await kept.stored();
  await Promise.all(late.splice(0));
  // Nobody is let in by what came late: the next event that is stored is one that was let in.
  expect(await enter(DATA_ENTRANCES.publish as Entrance, targetOf("healthy"), present("healthy"))).toBe("201");
  expect(await kept.stored()).toMatchObject({ ...buckets, KATA: { lastSeq: (before?.lastSeq ?? 0) + 1 } });
}

// Keys are the application's own: there is nothing to administer (`not_found`), but sessions and channels are.
const API_KEY_AUTH = parseTable(`
                     | publish         | history         | stream          | ws              | ws kata.v1       | ws auth           | POST keys     | POST sessions   | DELETE session  | PUT new channel | PUT channel of t1 | DELETE channel  | NATS publish
healthy              | 201             | 200             | 200             | ok              | ok               | authenticated t1  | 404 not_found | 201 t1          | 204             | 201 t1          | 200 t1            | 204             | ok
throws               | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
rejects              | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
rejects with nothing | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
never answers        | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
answers late         | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
answers true         | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
answers {}           | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
answers null         | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
answers its name     | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
no type              | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
a type of its own    | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
team t1.>            | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
team *               | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
team [t1]            | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
ends never           | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
ends some day        | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
scope root           | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
scopes all           | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
channel *            | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 404 not_found | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable   | 503 unavailable | refused
`);

describe("[CONNECT-5] [NATS-1] an ApiKeyAuth that fails lets nobody in", () => {
  it("through any entrance", async () => {
    const apiKeys: ApiKeyAuth = { verifyKey: failing(KEYS, "kat_live_", KEY) };
    await using broker = await openBroker(kept, { ...config, ...CALLOUT }, { apiKeys });
    const { publicUrl: servers } = kept.nats;
    const knock = (row: string) =>
      knockAs(connect({ servers, token: keyOf(row), inboxPrefix: inboxPrefixOf(keyOf(row)), reconnect: false }));
    // nats-server gives each of them three seconds, all at the same time.
    const atNats = new Map(Object.keys(KEYS).map((row) => [row, knock(row)]));
    await expectTable(API_KEY_AUTH, KEYS, {
      broker,
      present: (row) => WAYS["X-API-Key"](keyOf(row)),
      others: {
        "NATS publish": (row) =>
          watched(kept, true, async () => {
            const nc = await atNats.get(row);
            return nc === undefined ? "refused" : ((await NATS_ENTRANCES["NATS publish"]?.attempt(nc, kept)) ?? "");
          }),
      },
    });
    await (await atNats.get("healthy"))?.close();
  });
});

// A user may administer nothing, so there is no right one for what is administered.
const SESSION_STORE = parseTable(`
                     | publish         | history         | stream          | ws              | ws kata.v1       | ws auth           | POST keys       | GET keys        | rotate key      | DELETE key      | PUT new channel | DELETE channel
healthy              | 201             | 200             | 200             | ok              | ok               | authenticated t1  | 403 forbidden   | 403 forbidden   | 403 forbidden   | 403 forbidden   | 403 forbidden   | 403 forbidden
throws               | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
rejects              | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
rejects with nothing | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
never answers        | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
answers late         | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
answers true         | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
answers {}           | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
answers null         | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
answers its name     | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
no type              | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
a type of its own    | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
team t1.>            | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
team *               | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
team [t1]            | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
ends never           | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
ends some day        | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
no user              | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 4450 unavailable | error unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable | 503 unavailable
`);

describe("[CONNECT-5] a SessionStore that fails lets nobody in", () => {
  const verify = failing(SESSIONS, "session-", USER);
  const nobody = async () => undefined;

  it.each([
    ["a token", { verifyToken: verify, verifySession: nobody }, "bearer"],
    ["a session cookie", { verifyToken: nobody, verifySession: verify }, "cookie of a listed origin"],
  ] satisfies [string, SessionStore, keyof typeof WAYS][])(
    "with %s, through any entrance",
    async (_, sessions, way) => {
      await using broker = await openBroker(kept, config, { sessions });
      const table = way === "bearer" ? SESSION_STORE : withColumns(SESSION_STORE, COOKIE_ENTRANCES);
      await expectTable(table, SESSIONS, { broker, present: (row) => WAYS[way](`session-${nameOf(row)}`) });
    },
  );
});

/** `auth` carries no cookie. */
const COOKIE_ENTRANCES = SESSION_STORE.columns.filter((column) => column !== "ws auth");

// A connection stays, and so does whatever needs no owner. What is answered and is not the team is another team.
const CHANNEL_ACCESS = parseTable(`
                     | publish         | history         | stream          | ws                | ws kata.v1
healthy              | 201             | 200             | 200             | ok                | ok
throws               | 503 unavailable | 503 unavailable | 503 unavailable | error unavailable | error unavailable
rejects              | 503 unavailable | 503 unavailable | 503 unavailable | error unavailable | error unavailable
rejects with nothing | 503 unavailable | 503 unavailable | 503 unavailable | error unavailable | error unavailable
never answers        | 503 unavailable | 503 unavailable | 503 unavailable | error unavailable | error unavailable
answers late         | 503 unavailable | 503 unavailable | 503 unavailable | error unavailable | error unavailable
answers true         | 403 forbidden   | 403 forbidden   | 403 forbidden   | error forbidden   | error forbidden
answers {}           | 403 forbidden   | 403 forbidden   | 403 forbidden   | error forbidden   | error forbidden
answers another team | 403 forbidden   | 403 forbidden   | 403 forbidden   | error forbidden   | error forbidden
answers t1.>         | 403 forbidden   | 403 forbidden   | 403 forbidden   | error forbidden   | error forbidden
answers T1           | 403 forbidden   | 403 forbidden   | 403 forbidden   | error forbidden   | error forbidden
answers [t1]         | 403 forbidden   | 403 forbidden   | 403 forbidden   | error forbidden   | error forbidden
answers a String     | 403 forbidden   | 403 forbidden   | 403 forbidden   | error forbidden   | error forbidden
`);

describe("[SUBSCRIBE-7] a ChannelAccess that fails opens no channel", () => {
  it("through any entrance that a channel has", async () => {
    const resolve = failing<unknown>(OWNERS, "", "t1");
    const access: ChannelAccess = { resolveSpecTeamId: resolve, resolveAgentTeamId: resolve };
    await using broker = await openBroker(kept, config, { access });
    const { key } = await kept.keys.create({ teamId: "t1", scopes: ["subscribe", "publish"] });
    const present = () => WAYS["X-API-Key"](key);
    const healthy = `spec:${nameOf("healthy")}`;
    await vi.waitFor(async () => {
      const target = { broker, kept, channel: healthy, opener: present() };
      expect(await enter(DATA_ENTRANCES.history as Entrance, target, present())).toBe("200");
    }, PATIENCE);
    for (const kind of ["spec", "agent"]) {
      for (const row of Object.keys(OWNERS)) await kept.seed(`kata.team.t1.${kind}.${nameOf(row)}`);
      const channelOf = (row: string) => `${kind}:${nameOf(row)}`;
      await expectTable(CHANNEL_ACCESS, OWNERS, { broker, channelOf, present });
    }
  });
});

// What knows keys, sessions and channels where nobody brings anything: NATS KV, which is not heard of for too long.
const KEPT = parseTable(`
           | publish             | history             | stream              | ws                  | ws kata.v1           | POST keys           | GET keys            | rotate key          | DELETE key          | POST sessions       | DELETE session      | PUT new channel     | PUT channel of t1   | DELETE channel      | NATS publish
none       | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | refused
malformed  | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 4501 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | 401 unauthenticated | refused
wrong      | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 4450 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | refused
right      | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 4450 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | refused
session id | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 4450 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | 503 unavailable     | refused
`);

describe("[CONNECT-5] NATS KV that is not heard of for KATA_AUTH_STALE_MS lets nobody in", () => {
  it("through any entrance", async () => {
    await using proxy = await startNatsProxy({ port: kept.nats.port });
    const cutOff = { natsUrl: proxy.url, authStaleMs: 2_000, auditIntervalMs: 100, ...CALLOUT };
    await using broker = await openBroker(kept, cutOff);
    const sessionId = await kept.sessions.create({ userId: "ann", teamId: "t1", expiresAt: USER.expiresAt });
    const { key } = await kept.keys.create({ teamId: "t1", scopes: KEY.scopes });
    const credentials: Record<string, string | undefined> = {
      none: undefined,
      malformed: "kat_live_nothing",
      wrong: "kat_live_0123456789abcdef_0123456789abcdef",
      right: key,
      "session id": sessionId,
    };
    const target = { broker, kept, channel: "spec:s1", opener: WAYS.bearer(undefined) };
    const history = DATA_ENTRANCES.history as Entrance;
    const asks = (row: string) => enter(history, target, WAYS.bearer(credentials[row]));
    for (const row of ["right", "session id"])
      await vi.waitFor(async () => expect(await asks(row)).toBe("200"), PATIENCE);
    proxy.refuse(true);
    proxy.cut();
    for (const token of [key, sessionId]) {
      await vi.waitFor(async () => expect(await opens(broker, token, "spec:s1")).toBe("503 503"), PATIENCE);
    }
    const { publicUrl: servers } = kept.nats;
    const knock = (token: string | undefined) =>
      knockAs(connect({ servers, ...(token === undefined ? {} : { token }), reconnect: false }));
    const atNats = new Map(Object.entries(credentials).map(([row, text]) => [row, knock(text)]));
    const entrances = KEPT.columns.flatMap((column) => ENTRANCES[column] ?? []);
    const filled = await fillInRows(KEPT, async (row) => {
      const outcomes = await enterAll(entrances, target, WAYS.bearer(credentials[row]));
      return [...outcomes, (await atNats.get(row)) === undefined ? "refused" : "let in"];
    });
    expect(linesOf(filled)).toEqual(linesOf(KEPT));
    proxy.refuse(false);
    for (const row of ["right", "session id"]) {
      await vi.waitFor(async () => expect(await asks(row)).toBe("200"), PATIENCE);
    }
  });
});
