import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { siblingsOf } from "./siblings.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kata-siblings-"));
});
afterEach(() => rm(directory, { recursive: true }));

/** Files that were written to at these times, seconds since 1970. */
async function made(files: Readonly<Record<string, number>>): Promise<string[]> {
  for (const [name, at] of Object.entries(files)) {
    await writeFile(join(directory, name), name);
    await utimes(join(directory, name), at, at);
  }
  return (await siblingsOf(join(directory, "app.log"))).map(({ path }) => basename(path));
}

it("knows the names that rotated logs get, and no others", async () => {
  await mkdir(join(directory, "app.log.3"));
  const names = [
    "app.log",
    "app.log.1",
    "app.log.2.gz",
    "app.log-20261125.zst",
    "app.log.state",
    "app.log.old",
    "app.log1",
    "app.log.2026.11.25.17.25.20.077602366",
    "app.log-20261125",
    "app.log.2026-11-25T17:25",
    "app-1.log",
    "app.2026-11-25.log",
    "app-server.log",
    "application.log.1",
    "other.log.1",
  ];
  expect((await made(Object.fromEntries(names.map((name) => [name, 1])))).sort()).toEqual([
    "app-1.log",
    "app.2026-11-25.log",
    "app.log-20261125",
    "app.log.1",
    "app.log.2026-11-25T17:25",
    "app.log.2026.11.25.17.25.20.077602366",
  ]);
});

it("puts first what was written to first, and of the same moment the one whose name says so", async () => {
  expect(await made({ "app.log.1": 9, "app.log.2": 7, "app.log.10": 5, "app.log.9": 5 })).toEqual([
    "app.log.10",
    "app.log.9",
    "app.log.2",
    "app.log.1",
  ]);
});

it("puts dates in their order", async () => {
  expect(await made({ "app.log-20261125": 5, "app.log-20261124": 5, "app.log-20261123": 6 })).toEqual([
    "app.log-20261124",
    "app.log-20261125",
    "app.log-20261123",
  ]);
});

it("is nothing where there is no directory", async () => {
  expect(await siblingsOf(join(directory, "none", "app.log"))).toEqual([]);
});
