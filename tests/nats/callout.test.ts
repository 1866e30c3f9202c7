import { type Socket, connect as tcp } from "node:net";
import { createPublisher } from "@kata/publisher";
import { connect } from "@nats-io/transport-node";
import { expect, test, vi } from "vitest";
import { startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { CALLOUT } from "../support/nats-secrets.ts";
import { connectKey, createNatsRig, createTestLogger, knock, TestKeys, violationsOf } from "./rig.ts";

test("[NATS-1] who presents what is let in or refused, and the broker's log says why", async () => {
  await using rig = await createNatsRig();
  const { nats, keys } = rig;
  const right = keys.add("t1");
  const servers = nats.publicUrl;
  const withToken = (token: string) => knock(connect({ servers, token, reconnect: false }));
  const table: [who: string, Promise<"let in" | "refused">, expected: "let in" | "refused", cause?: string][] = [
    ["the right key", withToken(right), "let in"],
    ["the right key as a password", knock(connect({ servers, user: "any", pass: right, reconnect: false })), "let in"],
    ["limited to channels", withToken(keys.add("t1", { channels: ["spec:s1"] })), "let in"],
    ["nothing", knock(connect({ servers, reconnect: false })), "refused", "it presented no API key"],
    ["no key at all", withToken("abc"), "refused", "its API key is not valid"],
    ["a wrong key", withToken(`${right.slice(0, -1)}0`), "refused", "its API key is not valid"],
    ["the key as a user name", knock(connect({ servers, user: right, reconnect: false })), "refused"],
    ["a very long key", withToken(`kat_${"x".repeat(3_000)}`), "refused", "its API key is not valid"],
    ["no publish scope", withToken(keys.add("t1", { keyId: "reader", scopes: ["subscribe", "admin"] })), "refused"],
    ["an expired key", withToken(keys.add("t1", { expiresAt: Date.now() - 1 })), "refused", "its API key is not valid"],
    ["the broker's name with another password", knock(connect({ servers, ...login("broker") })), "refused"],
  ];
  for (const [who, outcome, expected, cause] of table) {
    expect(`${who}: ${await outcome}`).toBe(`${who}: ${expected}`);
    if (cause !== undefined) {
      await vi.waitFor(() =>
        expect(rig.warnings.map(({ line }) => line)).toContain(`refused a publisher at NATS: ${cause}`),
      );
    }
  }
  await vi.waitFor(() =>
    expect(rig.warnings).toContainEqual({
      fields: { address: expect.any(String), keyId: "reader" },
      line: "refused a publisher at NATS: its API key has no scope publish",
    }),
  );
  expect(JSON.stringify(rig.warnings)).not.toContain("kat_");

  function login(user: string) {
    return { user, pass: "kata_wrong", reconnect: false };
  }
});

test("[CONNECT-5] whoever knows keys fails, in whichever way: nobody is let in, and a publisher learns that it may try again", async () => {
  await using rig = await createNatsRig();
  const { keys, nats } = rig;
  const nonsense = (answer: unknown) => keys.behave(async () => answer as undefined);
  const failing = {
    rejects: keys.behave(() => Promise.reject(new Error("away"))),
    throws: keys.behave(() => {
      throw new Error("away");
    }),
    "does not answer": keys.behave(() => new Promise(() => undefined)),
    true: nonsense(true),
    "nobody in particular": nonsense({ type: "api_key" }),
    "a team that is a wildcard": nonsense({ type: "api_key", teamId: ">", keyId: "k", scopes: ["publish"] }),
    "scopes that are none": nonsense({ type: "api_key", teamId: "t1", keyId: "k", scopes: "publish" }),
    "a limit that is no channel": nonsense({ type: "api_key", teamId: "t1", keyId: "k", scopes: [], channels: [">"] }),
  };
  const outcomes = Object.entries(failing).map(async ([how, key]) => [how, await knock(connectKey(nats, key))]);
  expect(await Promise.all(outcomes)).toEqual(Object.keys(failing).map((how) => [how, "refused"]));
  await expect(createPublisher({ servers: nats.publicUrl, apiKey: failing.rejects })).rejects.toMatchObject({
    code: "unavailable",
    retryable: true,
    message: expect.stringMatching(
      /^no broker has answered NATS at nats:\/\/127\.0\.0\.1:\d+ whether the API key is valid/,
    ),
  });
  const lines = rig.warnings.map(({ line }) => line);
  expect(lines).toContain("refused a publisher at NATS: whoever knows API keys is away");
  expect(lines).toContain("refused a publisher at NATS: its API key was not found in 2000 ms");
  // Others are let in all the same.
  expect(await knock(connectKey(nats, keys.add("t1")))).toBe("let in");
});

test("a session's token is no API key", async () => {
  await using nats = await startNats();
  const { logger, warnings } = createTestLogger();
  const user = { type: "session_user", teamId: "t1", userId: "u", expiresAt: Date.now() + 60_000 } as const;
  const sessions = { verifyToken: async () => user, verifySession: async () => user };
  // An adapter that takes anything for a user's.
  const apiKeys = { verifyKey: async () => user as never };
  await using _broker = await startBroker({ nats, config: CALLOUT, apiKeys, sessions, logger });
  expect(await knock(connectKey(nats, "token"))).toBe("refused");
  await vi.waitFor(() =>
    expect(warnings.map(({ line }) => line)).toContain(
      "refused a publisher at NATS: only API keys may publish over NATS",
    ),
  );
});

test("no broker is there: nobody is let in, who is connected goes on, and with a broker it is as before", async () => {
  await using nats = await startNats();
  const keys = new TestKeys();
  const apiKey = keys.add("t1");
  const broker = await startBroker({ nats, config: CALLOUT, apiKeys: keys });
  await using publisher = await createPublisher({ servers: nats.publicUrl, apiKey });
  const event = { type: "log_entry", payload: { message: "m" } };
  await publisher.publish("agent:a1", event);
  await broker.close();
  expect(await knock(connectKey(nats, apiKey))).toBe("refused");
  await expect(createPublisher({ servers: nats.publicUrl, apiKey })).rejects.toMatchObject({ code: "unavailable" });
  // For it nothing has changed: nats-server itself acknowledges.
  expect(await publisher.publish("agent:a1", event)).toMatchObject({ duplicate: false });
  await using _next = await startBroker({ nats, config: CALLOUT, apiKeys: keys });
  expect(await knock(connectKey(nats, apiKey))).toBe("let in");
});

test("a broker without the seeds vouches for nobody; one whose seeds are not those of nats-server neither", async () => {
  await using nats = await startNats();
  const keys = new TestKeys();
  const apiKey = keys.add("t1");
  {
    await using _without = await startBroker({ nats, apiKeys: keys });
    expect(await knock(connectKey(nats, apiKey))).toBe("refused");
  }
  const { createNatsSecrets } = await import("@kata/broker");
  const other = createNatsSecrets();
  const { logger, warnings } = createTestLogger();
  for (const config of [
    { ...CALLOUT, natsAuthSeed: other.authSeed },
    { ...CALLOUT, natsXkeySeed: other.xkeySeed },
  ]) {
    await using _stranger = await startBroker({ nats, config, apiKeys: keys, logger });
    expect(await knock(connectKey(nats, apiKey))).toBe("refused");
  }
  expect(warnings.map(({ line }) => line)).toContain(
    "nats-server's question who may connect cannot be read: nobody is let in",
  );
  await expect(
    startBroker({ nats, config: { ...CALLOUT, natsAuthSeed: `SA${"A".repeat(56)}` }, apiKeys: keys }),
  ).rejects.toThrow('KATA_NATS_AUTH_SEED is no seed: make new ones with "kata nats-secrets"');
});

test("nats-server alone can ask who is let in: it lets nobody else speak there, a broker neither", async () => {
  await using rig = await createNatsRig();
  const refused = violationsOf(rig.inside);
  rig.inside.publish("$SYS.REQ.USER.AUTH", "forged");
  await rig.inside.flush();
  await vi.waitFor(() => expect(refused).toEqual(["publish $SYS.REQ.USER.AUTH"]));
});

test("[NATS-3] the connection of a key ends when the key does, and it is not let in again", async () => {
  await using rig = await createNatsRig();
  const key = rig.keys.add("t1", { expiresAt: Date.now() + 5_000 });
  const nc = await connectKey(rig.nats, key);
  await nc.closed();
  expect(await knock(connectKey(rig.nats, key))).toBe("refused");
});

test("hundreds who want in at once with nothing valid stop nobody who is in, and shut nobody out for good", async () => {
  await using rig = await createNatsRig();
  const key = rig.keys.add("t1");
  await using publisher = await createPublisher({ servers: rig.nats.publicUrl, apiKey: key });
  const crowd = Array.from({ length: 300 }, (_, i) => knock(connectKey(rig.nats, `kat_live_${i}`)));
  // Beside it everything goes on.
  await publisher.publish("agent:a1", { type: "log_entry", payload: { message: "m" } });
  expect(new Set(await Promise.all(crowd))).toEqual(new Set(["refused"]));
  await vi.waitFor(async () => expect(await knock(connectKey(rig.nats, key))).toBe("let in"), { timeout: 15_000 });
});

test("one address that knocks on and on with what is not valid keeps a publisher at another out of nothing", async () => {
  await using rig = await createNatsRig();
  const key = rig.keys.add("t1");
  const sockets = new Set<Socket>();
  const knockRaw = () => {
    const socket = tcp({ port: rig.nats.port, host: "127.0.0.1", localAddress: "127.0.0.2" });
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    socket.once("data", () =>
      socket.write('CONNECT {"auth_token":"kat_live_x_0123456789abcdef","verbose":false}\r\nPING\r\n'),
    );
  };
  // 500 a second, and nobody waits for the answer.
  const flood = setInterval(() => {
    for (let i = 0; i < 5; i++) knockRaw();
    for (const socket of [...sockets].slice(0, -200)) socket.destroy();
  }, 10);
  try {
    const lines = () => rig.warnings.map(({ line }) => line);
    await vi.waitFor(
      () =>
        expect(lines()).toContain(
          "too much comes from one address at NATS that is not let in: it is not looked at for a while",
        ),
      { timeout: 10_000 },
    );
    for (let i = 0; i < 10; i++) expect(await knock(connectKey(rig.nats, key))).toBe("let in");
  } finally {
    clearInterval(flood);
    for (const socket of sockets) socket.destroy();
  }
});

test("of several brokers one answers; each of them may go", async () => {
  await using nats = await startNats();
  const keys = new TestKeys();
  const apiKey = keys.add("t1");
  const one = await startBroker({ nats, config: CALLOUT, apiKeys: keys });
  await using _two = await startBroker({ nats, config: CALLOUT, apiKeys: keys });
  const observer = await connectNats(nats.url);
  let questions = 0;
  observer.subscribe("$SYS.REQ.USER.AUTH", { callback: () => void questions++ });
  await observer.flush();
  for (let i = 0; i < 5; i++) expect(await knock(connectKey(nats, apiKey))).toBe("let in");
  await one.close();
  for (let i = 0; i < 5; i++) expect(await knock(connectKey(nats, apiKey))).toBe("let in");
  await observer.flush();
  expect(questions).toBe(10);
  await observer.close();
});
