import type { ConnectionChange, RealtimeClient, RealtimeError } from "@kata/realtime-client";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startProxy } from "../support/proxy.ts";
import { createOwnSessions } from "./own-sessions.ts";
import {
  caughtUp,
  clientOf,
  collect,
  entry,
  freshChannel,
  type Handed,
  numbers,
  type Setup,
  startAll,
} from "./setup.ts";

/** How long the short-lived tokens live, milliseconds; the broker warns of them at once. */
const LIFE_MS = 2_500;
const LONG_MS = 3_600_000;

const sessions = createOwnSessions();
let all: Setup;

beforeAll(async () => {
  all = await startAll({}, { sessions });
});

afterAll(async () => {
  await all[Symbol.asyncDispose]();
});

beforeEach(() => sessions.forget());

interface Watched {
  readonly client: RealtimeClient;
  readonly states: ConnectionChange[];
  readonly errors: RealtimeError[];
}

function watched(getToken: () => string | Promise<string>, more: Parameters<typeof clientOf>[1] = {}): Watched {
  const client = clientOf(all.broker, { apiKey: undefined, getToken, ...more });
  const states: ConnectionChange[] = [];
  const errors: RealtimeError[] = [];
  client.on("state", (change) => states.push(change));
  client.on("error", (error) => errors.push(error));
  return { client, states, errors };
}

async function live(client: RealtimeClient, channel: string): Promise<Handed> {
  const caught = caughtUp(client, channel);
  const handed = collect(client, channel);
  await client.connect();
  await caught;
  return handed;
}

/** Publishes "1", "2", … one after the other until `done`; returns how many. */
async function publishUntil(channel: string, done: () => boolean): Promise<number> {
  let count = 0;
  while (!done()) await all.publisher.publish(channel, entry(String(++count)));
  return count;
}

function closes(states: readonly ConnectionChange[]): (number | undefined)[] {
  return states.flatMap(({ closeCode }) => closeCode ?? []);
}

test("[AUTH-3] with fresh tokens in time one connection outlives many tokens, and nothing is lost", async () => {
  const channel = freshChannel();
  const { client, states, errors } = watched(() => sessions.token(LIFE_MS));
  const handed = await live(client, channel);
  const first = sessions.presented[0] as string;
  const stored = await publishUntil(channel, () => Date.now() > sessions.endOf(first) + LIFE_MS);
  await handed.reaches(stored);
  expect(handed.log).toEqual(numbers(stored));
  expect(sessions.presented.length).toBeGreaterThan(2);
  expect(new Set(sessions.presented).size).toBe(sessions.presented.length);
  expect(client.stats).toMatchObject({ connections: 1, repeats: 0, gaps: 0 });
  expect([client.status, errors, closes(states)]).toEqual(["connected", [], []]);
});

test("[AUTH-3] [RESUME-1] getToken fails until the token has expired, then recovers: 4401, and back without loss", async () => {
  const channel = freshChannel();
  let down = false;
  const { client, states, errors } = watched(() => {
    if (down) throw new Error("the identity provider is down");
    down = true;
    return sessions.token(LIFE_MS);
  });
  const handed = await live(client, channel);
  const stored = await publishUntil(channel, () => closes(states).includes(4401));
  await expect.poll(() => states.at(-1)?.code).toBe("token_failed");
  await all.publisher.publish(channel, entry(String(stored + 1)));
  down = false;
  await handed.reaches(stored + 1);
  expect(handed.log).toEqual(numbers(stored + 1));
  expect(client.stats).toMatchObject({ gaps: 0, repeats: 0 });
  expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(["token_failed"]));
  expect(states.find(({ closeCode }) => closeCode === 4401)).toMatchObject({ error: { code: "token_expired" } });
});

test.each([
  ["expired", "token_expired", () => sessions.token(-1)],
  ["somebody else's", "forbidden", () => sessions.token(LONG_MS, "u2")],
  ["unknown", "unauthenticated", () => "no-such-token"],
])(
  "[AUTH-2] a token that is %s, offered as a refresh, extends nothing: 4401 when the first one ends",
  async (_what, code, offer) => {
    const channel = freshChannel();
    let next: () => string = () => sessions.token(LIFE_MS);
    const { client, states, errors } = watched(() => next());
    const handed = await live(client, channel);
    next = offer;
    // At once, so that no attempt presents the bad one at the door.
    client.on("state", ({ closeCode }) => {
      if (closeCode === 4401) next = () => sessions.token(LONG_MS);
    });
    const first = sessions.presented[0] as string;
    await expect.poll(() => errors.at(-1)?.detail?.code).toBe(code);
    expect([client.status, client.stats.connections]).toEqual(["connected", 1]);
    const stored = await publishUntil(channel, () => closes(states).includes(4401));
    expect(closes(states)).toEqual([4401]);
    expect(Date.now()).toBeGreaterThanOrEqual(sessions.endOf(first));
    expect(errors.every((error) => error.code === "token_failed" && error.detail?.code === code)).toBe(true);
    await handed.reaches(stored);
    expect(handed.log).toEqual(numbers(stored));
    // A handful with backoff, not as many as the connection could carry.
    expect(sessions.presented.length).toBeLessThan(60);
  },
);

test("[AUTH-3] getToken slower than the expiry: the connection ends, what comes at last opens the next one", async () => {
  const channel = freshChannel();
  let slow: ((token: string) => void) | undefined;
  let calls = 0;
  const { client, states } = watched(() => {
    if (++calls === 1) return sessions.token(LIFE_MS);
    if (calls > 2) return sessions.token(LONG_MS);
    return new Promise((resolve) => {
      slow = resolve;
    });
  });
  const handed = await live(client, channel);
  const stored = await publishUntil(channel, () => closes(states).includes(4401));
  expect([calls, sessions.presented.length]).toEqual([2, 1]);
  slow?.(sessions.token(LONG_MS));
  await handed.reaches(stored);
  expect(handed.log).toEqual(numbers(stored));
  // The first connection's and the second's: nothing was offered with auth.
  expect(sessions.presented).toHaveLength(2);
  expect(client.stats).toMatchObject({ connections: 2, gaps: 0, repeats: 0 });
});

test("[AUTH-3] a refresh that is answered after a reconnect serves the new connection, and is offered on none twice", async () => {
  const channel = freshChannel();
  await using proxy = await startProxy({ port: all.broker.port });
  const calls: ((token: string) => void)[] = [];
  const url = `ws://127.0.0.1:${proxy.port}`;
  const { client } = watched(() => new Promise((resolve) => calls.push(resolve)), { url });
  const connected = live(client, channel);
  const first = sessions.token(LIFE_MS);
  calls[0]?.(first);
  const handed = await connected;
  await expect.poll(() => calls.length).toBe(2);
  proxy.cut();
  await expect.poll(() => client.status).toBe("connecting");
  const second = sessions.token(LONG_MS);
  calls[1]?.(second);
  // It may have come between two attempts: then the next one has asked anew.
  await expect.poll(() => client.status === "connected" || calls.length === 3).toBe(true);
  const third = sessions.token(LONG_MS);
  calls[2]?.(third);
  await all.publisher.publish(channel, entry("1"));
  await handed.reaches(1);
  expect(sessions.presented).toEqual([first, calls.length === 3 ? third : second]);
});

test("wake with an expired token: it is not presented again, the connection is made anew with a fresh one", async () => {
  const channel = freshChannel();
  await using proxy = await startProxy({ port: all.broker.port });
  const handedOut: string[] = [];
  let asleep = false;
  const getToken = (): string => {
    if (asleep) throw new Error("there is no network");
    handedOut.push(sessions.token(handedOut.length === 0 ? LIFE_MS : LONG_MS));
    asleep = handedOut.length === 1;
    return handedOut.at(-1) as string;
  };
  const url = `ws://127.0.0.1:${proxy.port}`;
  const { client } = watched(getToken, { url, pingIntervalMs: 50, timeoutMs: 1_000 });
  const handed = await live(client, channel);
  proxy.pause();
  await all.publisher.publish(channel, entry("1"));
  const [first] = sessions.presented as [string];
  await expect.poll(() => Date.now()).toBeGreaterThan(sessions.endOf(first));
  await expect.poll(() => client.status).toBe("connecting");
  expect(sessions.presented).toEqual([first]);
  proxy.resume();
  asleep = false;
  await handed.reaches(1);
  expect(handed.log).toEqual(["1"]);
  expect(sessions.presented).toEqual(handedOut);
  expect(client.stats).toMatchObject({ connections: 2, gaps: 0, repeats: 0 });
});

test("[AUTH-3] [CLOSE-1] revoked: 4503 while a token is being fetched, and nobody comes back", async () => {
  const calls: ((token: string) => void)[] = [];
  const { client, states } = watched(() => new Promise((resolve) => calls.push(resolve)));
  const connected = client.connect();
  calls[0]?.(sessions.token(LIFE_MS));
  await connected;
  await expect.poll(() => calls.length).toBe(2);
  sessions.revoke();
  await expect.poll(() => client.status).toBe("failed");
  calls[1]?.(sessions.token(LONG_MS));
  expect(closes(states)).toEqual([4503]);
  expect([client.status, calls.length, sessions.presented.length]).toEqual(["failed", 2, 1]);
});

test("[AUTH-3] a fixed token: the client ends when it does, with a line that says what to do, and does not knock again", async () => {
  const { client, states, errors } = watched(() => "", { getToken: undefined, token: sessions.token(LIFE_MS) });
  await client.connect();
  await expect.poll(() => client.status).toBe("failed");
  expect(states.at(-1)).toMatchObject({ closeCode: 4401, reason: "the token has expired: use getToken" });
  expect(errors.map(({ code, detail }) => `${code} ${detail?.code}`)).toEqual([
    "server_error token_expiring",
    "refused token_expired",
  ]);
  await expect(client.connect()).rejects.toMatchObject({ code: "refused", closeCode: 4401 });
  expect(sessions.presented).toHaveLength(2);
});

test("close() while getToken is pending: no connection is made when it returns", async () => {
  await using proxy = await startProxy({ port: all.broker.port });
  const calls: ((token: string) => void)[] = [];
  const url = `ws://127.0.0.1:${proxy.port}`;
  const { client } = watched(() => new Promise((resolve) => calls.push(resolve)), { url });
  const connected = client.connect();
  client.close();
  await expect(connected).rejects.toMatchObject({ code: "closed" });
  calls[0]?.(sessions.token(LONG_MS));
  // Another client's whole way through the same proxy: what the first one does comes before.
  const other = watched(() => sessions.token(LONG_MS), { url });
  await other.client.connect();
  expect([proxy.connections, sessions.presented.length, calls.length]).toEqual([1, 1, 1]);
});
