import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CHANNELS_BUCKET } from "../../broker/src/auth/channel-directory.ts";
import { openNatsBucket } from "../../broker/src/store/nats-bucket.ts";
import { createApiClient } from "../auth/api-client.ts";
import { connectNats } from "../support/nats-connect.ts";
import { type AdminRig, createAdminRig, expectRefusal, WAYS } from "./administering.ts";
import { kata, TEAM } from "./rig.ts";

let rig: AdminRig;

beforeAll(async () => {
  rig = await createAdminRig();
});
afterAll(() => rig?.[Symbol.asyncDispose]());

const EVENT = { type: "log_entry", payload: { message: "m" } };

describe.each(WAYS)("kata channels, %s", (way) => {
  const id = way.replaceAll(" ", "-");
  const ofOther = (...args: string[]) => kata(["channels", ...args, "--nats", rig.nats.url, "--team", "other"]).ended;

  it("add, list and remove say whose a channel is, and the broker goes by it", async () => {
    await using create = kata(["keys", "create", "--nats", rig.nats.url, "--team", "other"]);
    const theirs = createApiClient(rig.broker.httpUrl, (await create.ended).stdout.trimEnd());
    const publish = async () => (await theirs.post(`/v1/channels/spec:${id}/events`, EVENT)).status;
    // KATA_DEV_TEAM owns what nobody has registered, so that the other team shows what changes.
    await expect.poll(publish).toBe(403);
    expect(await ofOther("add", `spec:${id}`)).toMatchObject({ code: 0 });
    await expect.poll(publish).toBe(201);
    expectRefusal(await rig.run(way, "channels", "add", `spec:${id}`), /choose another/);
    expectRefusal(await rig.run(way, "channels", "remove", `spec:${id}`), /has not registered/);
    expect(await ofOther("remove", `spec:${id}`)).toMatchObject({ code: 0 });
    const added = { stdout: `spec:${id} is registered\n`, stderr: "" };
    expect(await rig.ok(way, "channels", "add", `spec:${id}`)).toEqual(added);
    expect(await rig.ok(way, "channels", "add", `spec:${id}`)).toEqual(added);
    await rig.ok(way, "channels", "add", `agent:${id}`);
    await expect.poll(publish).toBe(403);
    const both = [`agent:${id}`, `spec:${id}`];
    expect((await rig.ok(way, "channels", "list")).stdout.trimEnd().split("\n")).toEqual(both);
    expect(JSON.parse((await rig.ok(way, "channels", "list", "--json")).stdout)).toEqual(both);
    for (const channel of both) {
      const { stdout } = await rig.ok(way, "channels", "remove", channel);
      expect(stdout).toBe(`${channel} is nobody's now\n`);
    }
    expect(await rig.ok(way, "channels", "list")).toEqual({ stdout: "", stderr: "" });
    expect((await rig.ok(way, "channels", "list", "--json")).stdout).toBe("[]\n");
  });

  it("list shows all there are, however many an answer of the broker has", async () => {
    const nc = await connectNats(rig.nats.url);
    try {
      const bucket = await openNatsBucket(nc, CHANNELS_BUCKET);
      const ids = Array.from({ length: 1_001 }, (_, n) => `many${String(n).padStart(4, "0")}`);
      await Promise.all(ids.map((each) => bucket.create(`agent.${each}`, Buffer.from(TEAM))));
      const all = ids.map((each) => `agent:${each}`);
      const listed = async () => JSON.parse((await rig.ok(way, "channels", "list", "--json")).stdout) as string[];
      // The broker hears of the last of them a moment later.
      await expect.poll(listed, { timeout: 20_000 }).toEqual(all);
      const entries = await Promise.all(ids.map((each) => bucket.get(`agent.${each}`)));
      await Promise.all(entries.map((entry) => entry && bucket.delete(entry.key, entry.revision)));
      await expect.poll(listed, { timeout: 20_000 }).toEqual([]);
    } finally {
      await nc.close();
    }
  });

  it("to remove one that is nobody's is one line and exit code 1", async () => {
    expectRefusal(await rig.run(way, "channels", "remove", "spec:nobodys"), /has not registered/);
  });
});

it("--nats alone takes NATS_URL, where no list of processes shows its password", async () => {
  const list = (env: Record<string, string>) => kata(["channels", "list", "--team", TEAM, "--json", "--nats"], env);
  await using there = list({ NATS_URL: rig.nats.url });
  expect(await there.ended).toMatchObject({ code: 0, stdout: "[]\n" });
  await using nowhere = list({ NATS_URL: "" });
  expectRefusal(await nowhere.ended, /NATS_URL: set it/);
});

it.each<[string, string[], RegExp]>([
  ["no channel", ["add", "spec:a b"], /spec:a b is no channel: team:\{id\}/],
  ["a team's own", ["add", "team:demo"], /team:demo is its team's by name/],
  ["to remove a team's own", ["remove", "team:demo"], /team:demo is its team's by name/],
  ["nothing", ["add"], /missing required argument/],
])("%s is one line and exit code 1, and nobody is asked", async (_what, args, line) => {
  await using command = kata(["channels", ...args], { KATA_URL: "http://127.0.0.1:1", KATA_API_KEY: "none" });
  expectRefusal(await command.ended, line);
});
