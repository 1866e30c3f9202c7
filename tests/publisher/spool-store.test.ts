import { execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { SpooledHead } from "../../publisher-sdk/src/spool-left.ts";
import { openSpool } from "../../publisher-sdk/src/spool-store.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import type { SpoolAnswer, SpoolCommand } from "./spool-process.ts";

const OWNER = { teamId: "t1", stream: "KATA", via: "nats" as const };
const PROCESS = fileURLToPath(new URL("./spool-process.ts", import.meta.url));

function head(messageId: string, more: Partial<SpooledHead> = {}): SpooledHead {
  return { messageId, channel: "team:t1", openedAt: 1_000, ...more };
}

async function leftIn(path: string) {
  const { spool, left } = await openSpool(path, OWNER);
  await spool.close();
  return left;
}

/** A spool in another process; disposing kills that. */
function startProcess() {
  const child = fork(PROCESS, [], { execArgv: ["--conditions=kata-source", "--import", "tsx"] });
  return {
    pid: child.pid ?? 0,
    async tell(command: SpoolCommand): Promise<SpoolAnswer> {
      const answered = once(child, "message");
      child.send(command);
      const [answer] = await answered;
      return answer as SpoolAnswer;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}

test("LevelDB is loaded when a spool is opened, not before", async () => {
  const loaded = () =>
    Object.keys(createRequire(import.meta.url).cache).filter((file) => /[\\/]classic-level[\\/]/.test(file));
  expect(loaded()).toEqual([]);
  await using directory = await createTempDirectory();
  await leftIn(join(directory.path, "spool"));
  expect(loaded()).not.toEqual([]);
});

describe("what was committed", () => {
  test("is there when the spool is opened again: records in the order of their first events, each with all it was opened with", async () => {
    await using directory = await createTempDirectory();
    const path = join(directory.path, "deep", "down", "spool");
    const { spool, left } = await openSpool(path, OWNER);
    expect(left).toEqual([]);
    const keyed = head("k-1", { publishId: "p1", key: "order 7", after: "mhzr3k2a-17-x4q1", channel: "agent:ü" });
    spool.add(head("m9"), '{"n":1}');
    spool.add(keyed, '{"n":"ä\\n"}\n{"n":2}');
    spool.add(head("m9"), '{"n":2}');
    await spool.commit();
    spool.add(head("m1", { openedAt: 2_000 }), '{"n":1}');
    spool.add(head("m9"), '{"n":3}');
    await spool.commit();
    await spool.close();

    expect(await leftIn(path)).toEqual([
      { ...head("m9"), lines: ['{"n":1}', '{"n":2}', '{"n":3}'] },
      { ...keyed, lines: ['{"n":"ä\\n"}', '{"n":2}'] },
      { ...head("m1", { openedAt: 2_000 }), lines: ['{"n":1}'] },
    ]);
  });

  test("two publishes with one idempotency key are two records", async () => {
    await using directory = await createTempDirectory();
    const { spool } = await openSpool(directory.path, OWNER);
    spool.add(head("k-1", { publishId: "p1" }), "1");
    spool.add(head("k-1", { publishId: "p2" }), "2");
    await spool.commit();
    spool.remove({ messageId: "k-1", publishId: "p1" });
    await spool.close();
    expect(await leftIn(directory.path)).toEqual([{ ...head("k-1", { publishId: "p2" }), lines: ["2"] }]);
  });

  test("goes when it is removed, also by the next process, and what comes then is newer than what was left", async () => {
    await using directory = await createTempDirectory();
    const first = await openSpool(directory.path, OWNER);
    for (const id of ["a", "b", "c"]) first.spool.add(head(id), id.repeat(100));
    await first.spool.commit();
    const full = first.spool.bytes;
    expect(full).toBeGreaterThan(300);
    first.spool.remove({ messageId: "a" });
    first.spool.remove({ messageId: "never there" });
    await first.spool.commit();
    expect(first.spool.bytes).toBe((full * 2) / 3);
    await first.spool.close();

    const second = await openSpool(directory.path, OWNER);
    expect(second.left.map(({ messageId }) => messageId)).toEqual(["b", "c"]);
    expect(second.spool.bytes).toBe((full * 2) / 3);
    second.spool.add(head("0"), "0");
    second.spool.remove({ messageId: "b" });
    await second.spool.close();
    expect((await leftIn(directory.path)).map(({ messageId }) => messageId)).toEqual(["c", "0"]);
  });

  test("what is removed before its commit never gets there", async () => {
    await using directory = await createTempDirectory();
    const { spool } = await openSpool(directory.path, OWNER);
    spool.add(head("a"), "1");
    const committed = spool.commit();
    spool.remove({ messageId: "a" });
    spool.add(head("b"), "1");
    spool.remove({ messageId: "b" });
    await committed;
    await spool.commit();
    expect(spool.bytes).toBe(0);
    await spool.close();
    expect(await leftIn(directory.path)).toEqual([]);
  });

  test("thousands of commits at once are a few batches, each resolved when its part is on disk", async () => {
    await using directory = await createTempDirectory();
    await using other = await createTempDirectory();
    const { spool } = await openSpool(directory.path, OWNER);
    const commits: Promise<void>[] = [];
    for (let n = 0; n < 5_000; n++) {
      spool.add(head("m1"), String(n));
      commits.push(spool.commit());
    }
    await Promise.all(commits);
    // Each batch adds a segment to the record, and between segments no line feed is stored.
    const { spool: single } = await openSpool(other.path, OWNER);
    single.add(head("m1"), Array.from({ length: 5_000 }, (_, n) => n).join("\n"));
    await single.commit();
    expect(single.bytes - spool.bytes).toBeLessThan(10);
    await spool.close();
    await single.close();
    expect((await leftIn(directory.path))[0]?.lines).toEqual(Array.from({ length: 5_000 }, (_, n) => String(n)));
  });

  test("nothing is committed to a closed spool", async () => {
    await using directory = await createTempDirectory();
    const { spool } = await openSpool(directory.path, OWNER);
    await Promise.all([spool.close(), spool.close()]);
    await expect(spool.commit()).rejects.toMatchObject({
      code: "closed",
      message: expect.stringContaining("is closed"),
    });
  });
});

describe("a directory", () => {
  test("is its owner's alone, also if it was there before", async () => {
    await using directory = await createTempDirectory();
    const [made, given] = [join(directory.path, "made"), join(directory.path, "given")];
    await mkdir(given);
    await chmod(given, 0o777);
    for (const path of [made, given]) {
      await leftIn(path);
      expect((await stat(path)).mode & 0o777).toBe(0o700);
    }
  });

  test("is one process's at a time", async () => {
    await using directory = await createTempDirectory();
    await using other = startProcess();
    expect(await other.tell({ do: "open", directory: directory.path })).toEqual({ bytes: 0 });
    const refused = { code: "in_use", message: expect.stringContaining("give each a directory of its own") };
    await expect(openSpool(directory.path, OWNER)).rejects.toMatchObject(refused);
    await other[Symbol.asyncDispose]();
    const { spool } = await openSpool(directory.path, OWNER);
    await expect(openSpool(directory.path, OWNER)).rejects.toMatchObject(refused);
    await spool.close();
  });

  test("is one team's and stream's", async () => {
    await using directory = await createTempDirectory();
    await leftIn(directory.path);
    for (const owner of [
      { teamId: "t2", stream: "KATA", via: "nats" as const },
      { teamId: "t1", stream: "OTHER", via: "nats" as const },
    ]) {
      await expect(openSpool(directory.path, owner)).rejects.toMatchObject({
        code: "foreign",
        message: expect.stringMatching(/another publisher.*"t1","stream":"KATA".*give it another directory/),
      });
    }
    expect(await leftIn(directory.path)).toEqual([]);
  });

  test("that holds something else is left as it is", async () => {
    await using directory = await createTempDirectory();
    const [files, database] = [join(directory.path, "files"), join(directory.path, "database")];
    await mkdir(files);
    await chmod(files, 0o755);
    await writeFile(join(files, "notes.txt"), "mine");
    const { ClassicLevel } = await import("classic-level");
    const foreign = new ClassicLevel(database);
    await foreign.put("its", "own");
    await foreign.close();
    for (const path of [files, database]) {
      await expect(openSpool(path, OWNER)).rejects.toMatchObject({
        code: "foreign",
        message: expect.stringContaining("give the spool a directory of its own"),
      });
    }
    expect((await stat(files)).mode & 0o777).toBe(0o755);
  });

  test("that cannot be made is named, with the reason", async () => {
    await using directory = await createTempDirectory();
    const file = join(directory.path, "file");
    await writeFile(file, "");
    for (const path of [file, join(file, "spool")]) {
      await expect(openSpool(path, OWNER)).rejects.toMatchObject({
        code: "not_writable",
        message: expect.stringMatching(/no spool can be kept in .*file.*: E/),
      });
    }
  });

  test("whose index is missing or broken is damaged, and left as it is", async () => {
    const manifest = /^MANIFEST/;
    for (const [name, change] of [
      [/^CURRENT$/, (file: string) => rm(file)],
      [/^CURRENT$/, (file: string) => writeFile(file, "MANIFEST-000099\n")],
      [manifest, (file: string) => rm(file)],
      [manifest, (file: string) => writeFile(file, "x".repeat(100))],
    ] as const) {
      await using directory = await createTempDirectory();
      const path = join(directory.path, "spool");
      const { spool } = await openSpool(path, OWNER);
      spool.add(head("m1"), "1");
      await spool.close();
      const before = await readdir(path);
      const file = before.find((each) => name.test(each)) ?? "";
      await change(join(path, file));
      const files = (await readdir(path)).filter((each) => /^\d/.test(each));
      await expect(openSpool(path, OWNER)).rejects.toMatchObject({
        code: "damaged",
        message: expect.stringContaining("move the directory away"),
      });
      expect((await readdir(path)).filter((each) => /^\d/.test(each))).toEqual(files);
    }
  });
});

// A limit for the size of a file stands in for a full disk: it needs no file system of its own. prlimit is part of util-linux.
describe.skipIf(process.platform !== "linux")("a disk that takes no more", () => {
  function limit(pid: number, bytes: number | "unlimited"): void {
    execFileSync("prlimit", ["--pid", String(pid), `--fsize=${bytes}:unlimited`]);
  }

  test("fails the commit and nothing else: what it held goes with a later one, what was there before stays", async () => {
    await using directory = await createTempDirectory();
    const path = join(directory.path, "spool");
    await using other = startProcess();
    await other.tell({ do: "open", directory: path });
    await other.tell({ do: "add", messageId: "before", lines: "1" });
    expect(await other.tell({ do: "commit" })).not.toHaveProperty("error");
    const { bytes } = await other.tell({ do: "add", messageId: "before", lines: "2" });

    limit(other.pid, 256 * 1024);
    await other.tell({ do: "add", messageId: "large", lines: "x".repeat(300 * 1024) });
    await other.tell({ do: "add", messageId: "after", lines: "1" });
    const full = {
      bytes,
      error: { code: "full", message: expect.stringMatching(/cannot grow, make room on its disk/) },
    };
    expect(await other.tell({ do: "commit" })).toEqual(full);
    await other.tell({ do: "add", messageId: "large", lines: "y" });
    expect(await other.tell({ do: "commit" })).toEqual(full);

    limit(other.pid, "unlimited");
    expect(await other.tell({ do: "commit" })).not.toHaveProperty("error");
    await other[Symbol.asyncDispose]();
    expect((await leftIn(path)).map(({ messageId, lines }) => [messageId, lines])).toEqual([
      ["before", ["1", "2"]],
      ["large", ["x".repeat(300 * 1024), "y"]],
      ["after", ["1"]],
    ]);
  });

  test("is left alone with what is removed: the others' commits go on", async () => {
    await using directory = await createTempDirectory();
    const path = join(directory.path, "spool");
    await using other = startProcess();
    await other.tell({ do: "open", directory: path });
    await other.tell({ do: "add", messageId: "small", lines: "1" });
    await other.tell({ do: "commit" });
    limit(other.pid, 256 * 1024);
    await other.tell({ do: "add", messageId: "large", lines: "x".repeat(300 * 1024) });
    expect(await other.tell({ do: "commit" })).toMatchObject({ error: { code: "full" } });
    await other.tell({ do: "remove", messageId: "large" });
    for (let n = 0; n < 3; n++) {
      await other.tell({ do: "add", messageId: `m${n}`, lines: "x".repeat(100 * 1024) });
      await other.tell({ do: "remove", messageId: `m${n - 1}` });
      const answer = await other.tell({ do: "commit" });
      // LevelDB's log may reach the limit too: then the next attempt begins another.
      if (answer.error !== undefined) expect(await other.tell({ do: "commit" })).not.toHaveProperty("error");
    }
    await other[Symbol.asyncDispose]();
    expect((await leftIn(path)).map(({ messageId }) => messageId)).toEqual(["small", "m2"]);
  });
});
