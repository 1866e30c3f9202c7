import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { publisherSettings, readerSettings } from "./settings.ts";

const DEV = { httpUrl: "http://h", wsUrl: "ws://h/ws", natsUrl: "nats://n", teamId: "demo", apiKey: "dev-key" };

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kata-settings-"));
});
afterEach(() => rm(directory, { recursive: true }));

const writeDev = (text: string) => writeFile(join(directory, "dev.json"), text);
const env = (more: Record<string, string> = {}) => ({ KATA_DATA_DIR: directory, ...more });

describe("settings", () => {
  it("come from dev.json, which may hold more", async () => {
    await writeDev(JSON.stringify({ ...DEV, more: [] }));
    expect(readerSettings({}, env())).toEqual({ url: "ws://h/ws", apiKey: "dev-key" });
    expect(publisherSettings({}, env())).toEqual({ servers: "nats://n", teamId: "demo", apiKey: "dev-key" });
  });

  it("come from the environment first, an empty variable is none", async () => {
    await writeDev(JSON.stringify(DEV));
    expect(readerSettings({}, env({ KATA_URL: "ws://e", KATA_API_KEY: "" }))).toEqual({
      url: "ws://e",
      apiKey: "dev-key",
    });
    expect(publisherSettings({}, env({ KATA_TEAM: "t", NATS_URL: "" }))).toMatchObject({
      servers: "nats://n",
      teamId: "t",
    });
  });

  it("come from the command line before all", () => {
    const given = { url: "ws://g", apiKey: "g", nats: "nats://g", team: "g" };
    const set = env({ KATA_URL: "ws://e", KATA_API_KEY: "e", NATS_URL: "nats://e", KATA_TEAM: "e" });
    expect(readerSettings(given, set)).toEqual({ url: "ws://g", apiKey: "g" });
    expect(publisherSettings(given, set)).toEqual({ servers: "nats://g", teamId: "g", apiKey: "g" });
  });

  it("never show a development key to another NATS", async () => {
    await writeDev(JSON.stringify(DEV));
    expect(publisherSettings({ nats: "nats://elsewhere" }, env())).toEqual({
      servers: "nats://elsewhere",
      teamId: "demo",
    });
  });

  it("publish with a key, whose team need not be known, or as the user in the URL, whose team must be", async () => {
    const key = { NATS_URL: "nats://e", KATA_API_KEY: "e" };
    expect(publisherSettings({}, env(key))).toEqual({ servers: "nats://e", apiKey: "e" });
    const user = { NATS_URL: "nats://u:p@e", KATA_API_KEY: "e" };
    expect(publisherSettings({ team: "t" }, env(user))).toEqual({ servers: "nats://u:p@e", teamId: "t" });
    expect(publisherSettings({ apiKey: "g" }, env(user))).toEqual({ servers: "nats://u:p@e", apiKey: "g" });
    expect(() => publisherSettings({}, env(user))).toThrow(/NATS_URL names a user, so set KATA_TEAM/);
    await writeDev(JSON.stringify({ ...DEV, natsUrl: "nats://u:p@n" }));
    expect(publisherSettings({}, env())).toEqual({ servers: "nats://u:p@n", teamId: "demo" });
  });

  it("are nowhere: that is said", () => {
    expect(() => readerSettings({}, env())).toThrow(/no broker is known/);
    expect(() => publisherSettings({}, env())).toThrow(/no NATS is known/);
  });

  it.each(["", "{", "null", JSON.stringify({ ...DEV, apiKey: undefined }), JSON.stringify({ ...DEV, apiKey: 1 })])(
    "a damaged dev.json is told: %s",
    async (text) => {
      await writeDev(text);
      expect(() => readerSettings({}, env())).toThrow(/dev\.json is damaged: run "npm start" again/);
    },
  );

  it("a dev.json that cannot be read is told", async () => {
    // A directory: some users may read any file.
    await mkdir(join(directory, "dev.json"));
    expect(() => readerSettings({}, env())).toThrow(/dev\.json cannot be read: EISDIR/);
  });
});
