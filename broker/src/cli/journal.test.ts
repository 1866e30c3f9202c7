import { mkdir, mkdtemp, readFile, rm, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FilePlace } from "./file-place.ts";
import { Journal } from "./journal.ts";

const FOLLOWING = { file: "/var/log/app.log", channel: "agent:build", type: "log_entry" };

let directory: string;
let state: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kata-journal-"));
  state = join(directory, "app.state");
});
afterEach(() => rm(directory, { recursive: true }));

function placeAt(offset: number): FilePlace {
  return { path: FOLLOWING.file, dev: "1", ino: "2", bornAt: "3", offset, before: "", mtimeMs: 4 };
}

describe("a journal", () => {
  it("that could not be written once takes nothing more: what is recorded later would be published before that", async () => {
    const journal = await Journal.begin(state, FOLLOWING, placeAt(0));
    const record = (from: number) => journal.record(placeAt(from), { bytes: 9, lines: 1 }, placeAt(from + 9), 5);
    await record(0);
    const written = await readFile(state, "utf8");
    await mkdir(`${state}.new`);
    const failed = (recorded: Promise<unknown>) => recorded.catch((error: unknown) => error);
    const [error, together] = await Promise.all([failed(record(9)), failed(record(18))]);
    expect(String(error)).toMatch(/cannot write the state .+app\.state: EISDIR/);
    expect(together).toBe(error);
    await rmdir(`${state}.new`);
    await expect(record(27)).rejects.toBe(error);
    await expect(journal.save()).rejects.toBe(error);
    expect(await readFile(state, "utf8")).toBe(written);
  });
});
