import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, json, startAnsweringServer } from "../auth/answering-server.ts";
import { createApiClient } from "../auth/api-client.ts";
import { startBroker, TEST_KEY } from "../support/broker.ts";
import { freePort } from "../support/free-port.ts";
import { startNats } from "../support/nats.ts";
import { connectRaw } from "../support/raw-client.ts";
import { type AdminRig, createAdminRig, expectRefusal, WAYS } from "./administering.ts";
import { kata, reading, TEAM } from "./rig.ts";

const KEY = /^kat_live_[A-Za-z0-9]{16}_[A-Za-z0-9]{43}$/;
const EVENTS = "/v1/channels/team:demo/events";
const EVENT = { type: "log_entry", payload: { message: "m" } };

let rig: AdminRig;

beforeAll(async () => {
  rig = await createAdminRig();
});
afterAll(() => rig?.[Symbol.asyncDispose]());

const keyIdIn = (key: string) => key.split("_")[2] as string;
const as = (apiKey: string) => createApiClient(rig.broker.httpUrl, apiKey);

describe.each(WAYS)("kata keys, %s", (way) => {
  it("create prints the key alone on stdout, and it opens the broker", async () => {
    const { stdout, stderr } = await rig.ok(way, "keys", "create");
    expect(stdout).toMatch(/\n$/);
    const key = stdout.trimEnd();
    expect(key).toMatch(KEY);
    expect(stderr).toMatch(
      /^kata: \w{16} {2}subscribe,publish {2}made \S+ {2}never expires; the key is shown this once\n$/,
    );
    expect(stderr).not.toContain(key.split("_").at(-1));
    await expect.poll(async () => (await as(key).post(EVENTS, EVENT)).status).toBe(201);
    expect((await as(key).get("/v1/keys")).status).toBe(403);
    await using socket = await connectRaw({ wsUrl: rig.broker.wsUrl, apiKey: key });
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
  });

  it("create takes scopes, channels, a name and an end, and list tells them, never the key", async () => {
    const name = `name\u202e of ${way}`;
    const wish = ["--scope", "publish", "--channel", "spec:s1", "agent:*", "--name", name, "--expires", "2h"];
    const { stdout } = await rig.ok(way, "keys", "create", "--json", ...wish);
    const made = JSON.parse(stdout) as { key: string; keyId: string; createdAt: string; expiresAt: string };
    expect(made).toMatchObject({ teamId: TEAM, scopes: ["publish"], channels: ["spec:s1", "agent:*"], name });
    expect(made.key).toMatch(KEY);
    expect(Math.round((Date.parse(made.expiresAt) - Date.parse(made.createdAt)) / 3_600_000)).toBe(2);
    const { key, ...rest } = made;
    const listed = (await rig.ok(way, "keys", "list", "--json")).stdout;
    expect(JSON.parse(listed)).toContainEqual(rest);
    const lines = (await rig.ok(way, "keys", "list")).stdout;
    const { keyId, createdAt, expiresAt } = made;
    const shown = `${keyId}  publish  spec:s1,agent:*  made ${createdAt}  expires ${expiresAt}  "name\\u202e of ${way}"`;
    expect(lines.split("\n")).toContain(shown);
    for (const text of [listed, lines]) expect(text).not.toContain(key.split("_").at(-1));
    await expect.poll(async () => (await as(key).post("/v1/channels/spec:s1/events", EVENT)).status).toBe(201);
    expect((await as(key).post(EVENTS, EVENT)).status).toBe(403);
  });

  it("rotate prints the new key; the old one counts no more, or until its grace is over", async () => {
    const first = (await rig.ok(way, "keys", "create")).stdout.trimEnd();
    const second = (await rig.ok(way, "keys", "rotate", keyIdIn(first), "--grace", "1h")).stdout.trimEnd();
    expect(second).toMatch(KEY);
    expect(keyIdIn(second)).toBe(keyIdIn(first));
    const status = async (key: string) => (await as(key).get(EVENTS)).status;
    await expect.poll(() => status(second)).toBe(200);
    expect(await status(first)).toBe(200);
    const { stdout } = await rig.ok(way, "keys", "rotate", keyIdIn(first), "--json");
    const { key: third } = JSON.parse(stdout) as { key: string };
    await expect.poll(() => status(third)).toBe(200);
    expect([await status(second), await status(first)]).toEqual([401, 401]);
  });

  it.each(["its id", "the key itself"])("revoke, by %s, ends a key and its connections", async (what) => {
    const key = (await rig.ok(way, "keys", "create")).stdout.trimEnd();
    await expect.poll(async () => (await as(key).get(EVENTS)).status).toBe(200);
    await using socket = await connectRaw({ wsUrl: rig.broker.wsUrl, apiKey: key });
    const given = what === "its id" ? keyIdIn(key) : key;
    expect(await rig.ok(way, "keys", "revoke", given)).toEqual({ stdout: `${keyIdIn(key)} is revoked\n`, stderr: "" });
    expect(await socket.closed).toMatchObject({ code: 4503 });
    expect((await as(key).get(EVENTS)).status).toBe(401);
    expectRefusal(await rig.run(way, "keys", "revoke", given), /no (such )?key/, [key]);
  });

  it.each<[string, string[], RegExp]>([
    ["a channel that is none", ["create", "--channel", "spec:a b"], /channels are 1 to 100 of spec:\{id\}/],
    ["admin of some channels", ["create", "--scope", "admin", "--channel", "spec:*"], /cannot be limited to channels/],
    ["a name without a letter", ["create", "--name", ""], /a name has 1 to 200 characters/],
    ["nobody's key", ["revoke", "nobody"], /no (such )?key/],
    ["nobody's key to rotate", ["rotate", "nobody"], /no (such )?key/],
  ])("%s is one line and exit code 1", async (_what, args, line) => {
    expectRefusal(await rig.run(way, "keys", ...args), line);
  });
});

it.each<[string, string[], RegExp]>([
  ["an unknown scope", ["create", "--scope", "root"], /root is no scope: subscribe, publish, admin$/m],
  ["a duration that is none", ["create", "--expires", "soon"], /--expires takes a time such as 90s, 10m, 2h or 30d/],
  ["no time at all", ["create", "--expires", "0s"], /--expires takes a time/],
  ["a grace that is none", ["rotate", "nobody", "--grace", "1"], /--grace takes a time/],
  ["too long a grace", ["rotate", "nobody", "--grace", "367d"], /--grace is 366d at most/],
  ["what is no keyId", ["revoke", "../channels"], /that is no keyId: "kata keys list" shows them/],
  ["what begins as a key", ["revoke", "kat_live_half_s3cret"], /that is no keyId/],
  ["nothing", ["rotate"], /missing required argument/],
  ["an option that is none", ["list", "--al"], /unknown option '--al'/],
])("%s is one line and exit code 1, and nobody is asked", async (_what, args, line) => {
  await using command = kata(["keys", ...args], { KATA_URL: "http://127.0.0.1:1", KATA_API_KEY: TEST_KEY });
  expectRefusal(await command.ended, line, ["s3cret"]);
});

it("npx kata keys create --nats makes the first key of all, for a team and a NATS that have none", async () => {
  await using nats = await startNats();
  await using create = kata(["keys", "create", "--scope", "admin", "--nats", nats.url, "--team", "first"]);
  const { code, stdout } = await create.ended;
  expect(code).toBe(0);
  await using broker = await startBroker({ nats, keptInNats: true });
  const made = await createApiClient(broker.httpUrl, stdout.trimEnd()).post("/v1/keys", { scopes: ["subscribe"] });
  expect(made).toMatchObject({ status: 201, body: { teamId: "first" } });
});

it("each team sees and ends its own keys alone", async () => {
  const args = ["--nats", rig.nats.url, "--team", "other"];
  await using create = kata(["keys", "create", ...args]);
  const keyId = keyIdIn((await create.ended).stdout);
  for (const way of WAYS) {
    expect((await rig.ok(way, "keys", "list")).stdout).not.toContain(keyId);
    for (const what of ["revoke", "rotate"]) expectRefusal(await rig.run(way, "keys", what, keyId), /no (such )?key/);
  }
  // Over HTTP another team's and nobody's are the same.
  const refusals = [keyId, "nobody"].map((each) => rig.run("through a broker", "keys", "revoke", each));
  const [theirs, nobodys] = await Promise.all(refusals);
  expect(theirs).toEqual(nobodys);
  await using list = kata(["keys", "list", ...args]);
  expect((await list.ended).stdout).toMatch(new RegExp(`^${keyId} {2}`));
});

describe("what kata keys cannot do through a broker is one line, exit code 1, and no secret", () => {
  const list = (env: Record<string, string>, ...args: string[]) => kata(["keys", "list", ...args], env).ended;

  it("a key without the scope admin", async () => {
    const key = (await rig.ok("on NATS itself", "keys", "create")).stdout.trimEnd();
    await expect.poll(async () => (await as(key).get(EVENTS)).status).toBe(200);
    const refused = await list(reading({ wsUrl: rig.broker.wsUrl, apiKey: key }));
    expectRefusal(refused, /may not do that: use one with the right scope/, [key]);
  });

  it.each([
    ["a wrong key", "kat_live_nobody_s3cret0123456789", /these credentials are not valid: present an API key/],
    [
      "a key that no header can carry",
      "kat_live_dev_s3cret\n0123456789",
      /the API key holds characters that no key has/,
    ],
  ])("%s", async (_what, apiKey, line) => {
    expectRefusal(await list(reading({ wsUrl: rig.broker.wsUrl, apiKey })), line, ["s3cret"]);
  });

  it.each(["127.0.0.1", "localhost"])("a broker that is away, at %s", async (host) => {
    const url = `http://${host}:${await freePort()}`;
    const refused = await list({ KATA_API_KEY: TEST_KEY }, "--url", url);
    expectRefusal(
      refused,
      /^kata: the broker at http:\/\/\S+ cannot be reached \([^()]+\): start it, or give --url$/m,
      [TEST_KEY],
    );
  });

  it.each(["nowhere", "localhost:8080", "ftp://127.0.0.1/", "http://user:s3cret@127.0.0.1/", "http://s3cret:x:y"])(
    "a URL that is none, %j",
    async (url) => {
      expectRefusal(await list({ KATA_API_KEY: TEST_KEY }, "--url", url), /takes the broker's URL, such as/, [
        "s3cret",
      ]);
    },
  );

  it.each<[string, Answer, RegExp]>([
    ["a page", { body: "<p>hello</p>" }, /answered 200, but not as a Kata broker: give --url/],
    ["other JSON", json({ keys: 7 }), /answered 200, but not as a Kata broker/],
    ["an error of its own", json({ error: "no" }, 500), /answered 500, but not as a Kata broker/],
    ["null", json(null, 404), /answered 404, but not as a Kata broker/],
    ["a word that steers terminals", json({ error: { message: "\x1b[2J\nx" } }, 400), /^kata: \\x1b\[2J\\nx$/m],
  ])("what is no broker and answers with %s", async (_what, answer, line) => {
    await using server = await startAnsweringServer(() => answer);
    expectRefusal(await list({ KATA_API_KEY: TEST_KEY }, "--url", server.url), line, [TEST_KEY]);
  });

  it("a redirect, which the key does not follow", async () => {
    await using elsewhere = await startAnsweringServer(() => json({ keys: [] }));
    await using server = await startAnsweringServer(() => ({ status: 307, headers: { location: elsewhere.url } }));
    expectRefusal(await list({ KATA_API_KEY: TEST_KEY }, "--url", server.url), /cannot be reached \(.*redirect/);
    expect(elsewhere.asked).toEqual([]);
  });

  it("no broker that is known", async () => {
    expectRefusal(await list({}), /no broker is known: run "npm start" here, or set KATA_URL and KATA_API_KEY/);
  });

  it("--team without --nats, which would be ignored", async () => {
    expectRefusal(await list(reading(rig.broker), "--team", "other"), /--team goes with --nats/);
  });
});

describe("what kata keys cannot do on NATS is one line, exit code 1, and no secret", () => {
  const list = (...args: string[]) => kata(["keys", "list", ...args], reading(rig.broker)).ended;
  const team = ["--team", TEAM];

  it("no team, or one that cannot be", async () => {
    expectRefusal(await list("--nats", rig.nats.url), /with --nats give --team, too/, [rig.nats.url]);
    expectRefusal(await list("--nats", rig.nats.url, "--team", "t.>"), /with --nats give --team, too/, [rig.nats.url]);
  });

  it("a broker, too", async () => {
    expectRefusal(await list("--nats", rig.nats.url, ...team, "--url", rig.broker.wsUrl), /leave --url and --api-key/);
  });

  it.each([
    ["a wrong password", (port: number) => `nats://broker:s3cret@127.0.0.1:${port}`],
    ["a password that is written without a scheme", (port: number) => `broker:s3cret@127.0.0.1:${port}`],
    ["a password with an @", (port: number) => `nats://broker:p@s3cret@127.0.0.1:${port}`],
    ["an API key", (port: number) => `nats://x:${TEST_KEY}@127.0.0.1:${port}`],
  ])("%s", async (_what, url) => {
    const line = /^kata: NATS at nats:\/\/127\.0\.0\.1:\d+ refused the login: give --nats nats:\/\/broker:<password>@…/;
    expectRefusal(await list("--nats", url(rig.nats.port), ...team), line, ["s3cret", TEST_KEY]);
  });

  it("NATS that is away", async () => {
    const url = `nats://broker:s3cret@127.0.0.1:${await freePort()}`;
    const line =
      /^kata: cannot reach NATS at nats:\/\/127\.0\.0\.1:\d+ \([^()\n]+\): start it, or give --nats another URL$/m;
    expectRefusal(await list("--nats", url, ...team), line, ["s3cret"]);
  });

  it.each(["", "ftp://s3cret@127.0.0.1", "nats://", "nats://broker:s3cret%@127.0.0.1", "nats://a:s3cret/x@127.0.0.1"])(
    "a URL that is none, %j",
    async (url) => {
      expectRefusal(await list("--nats", url, ...team), /--nats takes nats:\/\/host:port, or/, ["s3cret"]);
    },
  );
});
