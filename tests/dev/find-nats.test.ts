import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findNatsServer, NatsServerNotFound } from "@kata/dev";
import { expect, test } from "vitest";
import { fetchRelease, RELEASE_VERSION } from "../../dev/src/nats/release.ts";
import { freePort } from "../support/free-port.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import { type Fault, startReleaseServer, writeFakeServer } from "./release-server.ts";

const NO_PACKAGE = (): Promise<string> => Promise.reject(new Error("no package here"));

/** Runs the finder with everything it can find inside `directory`; returns what it chose or threw, and what it said. */
async function find(
  directory: string,
  given: { url?: string; env?: NodeJS.ProcessEnv; fetchPackage?: () => Promise<string> },
) {
  const lines: string[] = [];
  const env = { PATH: join(directory, "bin"), KATA_CACHE_DIR: join(directory, "cache"), ...given.env };
  const options = { env, report: (line: string) => lines.push(line), fetchPackage: given.fetchPackage ?? NO_PACKAGE };
  const result = await findNatsServer({
    ...options,
    releaseBaseUrl: given.url ?? `http://127.0.0.1:${await freePort()}`,
  }).catch((error: unknown) => error);
  return { result, lines };
}

test("NATS_SERVER_BIN is used before everything else", async () => {
  await using directory = await createTempDirectory();
  const path = join(directory.path, "my-server");
  await writeFakeServer(path, "2.12.3");
  const { result, lines } = await find(directory.path, { env: { NATS_SERVER_BIN: path } });
  expect(result).toEqual({ path, version: "2.12.3", source: "NATS_SERVER_BIN" });
  expect(lines).toEqual([]);
});

test.each([
  ["is not there", undefined, /not found/],
  ["is something else", "1.0", /is not a nats-server/],
  ["is too old", "2.10.29", /is 2\.10\.29, older than 2\.11\.0/],
])("NATS_SERVER_BIN that %s is an error, and nothing else is tried", async (_case, version, reason) => {
  await using directory = await createTempDirectory();
  const path = join(directory.path, "my-server");
  if (version !== undefined) await writeFakeServer(path, version);
  const { result, lines } = await find(directory.path, { env: { NATS_SERVER_BIN: path } });
  expect(result).toBeInstanceOf(NatsServerNotFound);
  expect(String(result)).toMatch(reason);
  expect(String(result)).toContain("NATS_SERVER_BIN");
  expect(lines).toEqual([]);
});

test("one on the PATH comes before the cache, the cache before a download", async () => {
  await using directory = await createTempDirectory();
  await using release = await startReleaseServer(directory.path);
  const cached = join(directory.path, "cache", "nats-server", "2.14.0", "nats-server");
  await mkdir(join(cached, ".."), { recursive: true });
  await writeFakeServer(cached, "2.14.0");
  expect((await find(directory.path, { url: release.url })).result).toEqual({
    path: cached,
    version: "2.14.0",
    source: "the cache",
  });

  await mkdir(join(directory.path, "bin"));
  const onPath = join(directory.path, "bin", "nats-server");
  await writeFakeServer(onPath, "2.11.0");
  expect((await find(directory.path, { url: release.url })).result).toMatchObject({ path: onPath, source: "the PATH" });
  expect(release.requests).toEqual([]);
});

test("one on the PATH that is too old, and a cached one that is broken, are passed over with a line each", async () => {
  await using directory = await createTempDirectory();
  await using release = await startReleaseServer(directory.path);
  await mkdir(join(directory.path, "bin"));
  await writeFakeServer(join(directory.path, "bin", "nats-server"), "2.9.10");
  const cached = join(directory.path, "cache", "nats-server", RELEASE_VERSION, "nats-server");
  await mkdir(join(cached, ".."), { recursive: true });
  await writeFile(cached, "half a program", { mode: 0o755 });

  const { result, lines } = await find(directory.path, { url: release.url });
  expect(result).toEqual({ path: cached, version: RELEASE_VERSION, source: "the release" });
  expect(lines[0]).toMatch(/^nats-server: not from the PATH: .* is 2\.9\.10, older than 2\.11\.0$/);
  expect(lines[1]).toMatch(/^nats-server: not from the cache: /);
  expect(lines).toHaveLength(4);
  expect((await find(directory.path, {})).result).toMatchObject({ source: "the cache" });
});

test("a release is fetched, checked, and found in the cache the next time", async () => {
  await using directory = await createTempDirectory();
  await using release = await startReleaseServer(directory.path);
  const first = await find(directory.path, { url: release.url });
  expect(first.result).toMatchObject({ version: RELEASE_VERSION, source: "the release" });
  expect(await readdir(join(directory.path, "cache"))).toEqual(["nats-server"]);
  const asked = release.requests.length;
  expect((await find(directory.path, { url: release.url })).result).toMatchObject({ source: "the cache" });
  expect(release.requests).toHaveLength(asked);
});

test("KATA_NATS_RELEASE_URL says where releases are, with or without a slash at its end", async () => {
  await using directory = await createTempDirectory();
  await using release = await startReleaseServer(directory.path);
  const result = await findNatsServer({
    env: { PATH: "", KATA_CACHE_DIR: join(directory.path, "cache"), KATA_NATS_RELEASE_URL: `${release.url}/` },
    report: () => undefined,
  });
  expect(result.source).toBe("the release");
});

test.each<[Fault, RegExp]>([
  ["checksum", /has the checksum [0-9a-f]{64}, the release says [0-9a-f]{64}$/],
  ["unlisted", /SHA256SUMS does not name nats-server-v/],
  ["missing", /SHA256SUMS: HTTP 404$/],
  ["truncated", /\.tar\.gz: (terminated|other side closed|aborted)$/],
])(
  "a release that fails (%s) is one line with the reason, leaves nothing behind, and the package is tried",
  async (fault, reason) => {
    await using directory = await createTempDirectory();
    await using release = await startReleaseServer(directory.path, fault);
    const { result, lines } = await find(directory.path, {
      url: release.url,
      fetchPackage: async () => {
        const path = join(directory.path, "packaged");
        await writeFakeServer(path, "2.16.0");
        return path;
      },
    });
    const failed = lines.filter((line) => line.startsWith("nats-server: not from"));
    expect(failed).toEqual([expect.stringMatching(reason)]);
    expect(failed[0]).not.toContain("\n");
    expect(result).toMatchObject({ version: "2.16.0", source: "the distribution's package" });
    expect(await readdir(join(directory.path, "cache"))).toEqual(["nats-server"]);
    expect(await readdir(join(directory.path, "cache", "nats-server"))).toEqual(["2.16.0"]);
  },
);

test("a release page that accepts and then says nothing is given up", async () => {
  await using directory = await createTempDirectory();
  await using release = await startReleaseServer(directory.path, "silent");
  const fetched = fetchRelease(directory.path, release.url, { connectMs: 50, stallMs: 50 });
  await expect(fetched).rejects.toThrow("SHA256SUMS: no answer within 0.05 s");
});

test("where nothing helps, the error says what to do and each source has said why", async () => {
  await using directory = await createTempDirectory();
  const { result, lines } = await find(directory.path, {});
  expect(result).toBeInstanceOf(NatsServerNotFound);
  expect(String(result)).toMatch(/PATH.*NATS_SERVER_BIN.*NATS_URL/);
  expect(lines.filter((line) => line.includes("not from"))).toEqual([
    expect.stringMatching(/^nats-server: not from the release: http:.*ECONNREFUSED/),
    "nats-server: not from the distribution's package: no package here",
  ]);
});

test("processes that fetch at the same time all get a whole program", async () => {
  await using directory = await createTempDirectory();
  await using release = await startReleaseServer(directory.path);
  const found = await Promise.all(Array.from({ length: 8 }, () => find(directory.path, { url: release.url })));
  for (const { result } of found) expect(result).toMatchObject({ version: RELEASE_VERSION });
  expect(await readdir(join(directory.path, "cache"))).toEqual(["nats-server"]);
});
