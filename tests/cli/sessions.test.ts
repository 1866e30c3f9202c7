import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectRaw } from "../support/raw-client.ts";
import { type AdminRig, createAdminRig, expectRefusal, WAYS } from "./administering.ts";
import { kata, TEAM } from "./rig.ts";

let rig: AdminRig;

beforeAll(async () => {
  rig = await createAdminRig();
});
afterAll(() => rig?.[Symbol.asyncDispose]());

const ID = /^kss_[A-Za-z0-9_-]{43}$/;
const hashOf = (id: string) => createHash("sha256").update(id).digest("hex");
const open = (token: string) => connectRaw({ wsUrl: rig.broker.wsUrl, headers: { authorization: `Bearer ${token}` } });

describe.each(WAYS)("kata sessions, %s", (way) => {
  const make = ["sessions", "create", "--user", "ann", "--expires", "2h"];

  it.each([
    ["its id", (id: string) => id],
    ["its hash", hashOf],
  ])(
    "create prints the id alone on stdout, which opens the broker; revoke by %s closes what it opened",
    async (_, name) => {
      const { stdout, stderr } = await rig.ok(way, ...make);
      const id = stdout.trimEnd();
      expect(id).toMatch(ID);
      expect(stderr).toMatch(/^kata: "ann" of team demo, until \S+Z; the id is shown this once\n$/);
      await using socket = await open(id);
      socket.send({ type: "ping" });
      await socket.nextOf("pong");
      expect(await rig.ok(way, "sessions", "revoke", name(id))).toEqual({
        stdout: "the session is revoked\n",
        stderr: "",
      });
      expect(await socket.closed).toMatchObject({ code: 4503 });
      await expect(open(id)).rejects.toThrow("401");
      expectRefusal(await rig.run(way, "sessions", "revoke", name(id)), /team (demo )?has no such session/, [id]);
    },
  );

  it("create --json tells all of it", async () => {
    const before = Date.now();
    const { stdout, stderr } = await rig.ok(way, ...make, "--json");
    const made = JSON.parse(stdout) as { expiresAt: string };
    const { expiresAt } = made;
    expect(made).toEqual({ sessionId: expect.stringMatching(ID), userId: "ann", teamId: TEAM, expiresAt });
    expect(Date.parse(expiresAt)).toBeGreaterThanOrEqual(before + 7_200_000);
    expect(stderr).toBe("");
  });

  it("another team's session is nobody's", async () => {
    await using create = kata([...make, "--nats", rig.nats.url, "--team", "other"]);
    const id = (await create.ended).stdout.trimEnd();
    await using socket = await open(id);
    expectRefusal(await rig.run(way, "sessions", "revoke", id), /team (demo )?has no such session/, [id]);
    socket.send({ type: "ping" });
    await socket.nextOf("pong");
  });

  it("a session that is nobody's is one line and exit code 1", async () => {
    const id = `kss_${"s3cret0".repeat(7).slice(0, 43)}`;
    expectRefusal(await rig.run(way, "sessions", "revoke", id), /has no such session/, ["s3cret"]);
  });
});

it.each<[string, string[], RegExp]>([
  ["nobody", ["create", "--expires", "2h"], /required option '--user <id>' not specified/],
  ["a user without a letter", ["create", "--user", "", "--expires", "2h"], /--user has 1 to 256 characters/],
  ["no end", ["create", "--user", "ann"], /required option '--expires <time>' not specified/],
  ["an end that is none", ["create", "--user", "ann", "--expires", "1"], /--expires takes a time such as/],
  ["what is no session id", ["revoke", "kss_s3cret"], /that is no session id: kss_…/],
])("%s is one line and exit code 1, and nobody is asked", async (_what, args, line) => {
  await using command = kata(["sessions", ...args], { KATA_URL: "http://127.0.0.1:1", KATA_API_KEY: "none" });
  expectRefusal(await command.ended, line, ["s3cret"]);
});
