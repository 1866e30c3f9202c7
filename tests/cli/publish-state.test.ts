import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import {
  appendFile,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rmdir,
  symlink,
  truncate,
  unlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { nanos } from "@nats-io/transport-node";
import { describe, expect, it } from "vitest";
import { startNats, type TestNats } from "../support/nats.ts";
import { REPEAT, seededRandom } from "../support/random.ts";
import { ensureTestStream, recreateTestStream } from "../support/stream.ts";
import { CHANNEL, eventsInLog, eventually, type Kata, kata, messagesOf, publishing, tempDirectory } from "./rig.ts";

const repeats = Array.from({ length: REPEAT }, (_, i) => i + 1);

/** Processes that follow a file with a state and publish to a log, one after the other. */
function following(nats: TestNats, directory: string) {
  const file = join(directory, "build.log");
  const state = join(directory, "state.json");
  return {
    nats,
    directory,
    file,
    state,
    follow: (...more: string[]): Kata =>
      kata(["publish", CHANNEL, "--follow", file, "--state", state, ...more], publishing(nats)),
    published: () => messagesOf(nats),
    /** How many batches are sent and not known to be in the log; `undefined` before there is a state. */
    sent: async () => {
      const text = await readFile(state, "utf8").catch(() => undefined);
      return text === undefined ? undefined : (JSON.parse(text) as { sent: unknown[] }).sent.length;
    },
  };
}

/** The same with a log and a directory of their own. */
async function startFollowing(stream: Parameters<typeof ensureTestStream>[1] = {}) {
  const nats = await startNats();
  await ensureTestStream(nats.url, stream);
  const directory = await tempDirectory();
  return {
    ...following(nats, directory.path),
    [Symbol.asyncDispose]: async () => {
      await nats[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** The number of a process that has ended. */
async function pidOfNobody(): Promise<number> {
  const child = spawn(process.execPath, ["--version"]);
  await once(child, "exit");
  return child.pid ?? 0;
}

async function kill(publish: Kata): Promise<void> {
  publish.child.kill("SIGKILL");
  await publish.ended;
}

describe("kata publish --follow FILE --state FILE", () => {
  it("goes on where it was: what was appended meanwhile, after the rest of what was rotated, the unfinished line whole", async () => {
    await using world = await startFollowing();
    const { file, follow, published } = world;
    await writeFile(file, "1\n2\nunfin");
    await using first = follow();
    await eventually(published).toEqual(["1", "2"]);
    first.child.kill("SIGTERM");
    expect(await first.ended).toMatchObject({ code: 0, stderr: "kata: 2 lines published\n" });
    await appendFile(file, "ished\n");
    await rename(file, `${file}.2`);
    await writeFile(`${file}.1`, "between\n");
    await writeFile(file, "3\n");
    await using second = follow();
    await eventually(published).toEqual(["1", "2", "unfinished", "between", "3"]);
    // Cut while it is away, after it was copied.
    await appendFile(file, "4\n");
    await eventually(published).toHaveLength(6);
    second.child.kill("SIGTERM");
    expect(await second.ended).toMatchObject({ code: 0, stderr: "kata: 4 lines published\n" });
    await appendFile(file, "5\n");
    await copyFile(file, `${file}.3`);
    await truncate(file, 0);
    await appendFile(file, "6, and longer than what was there before it was cut\n");
    await using third = follow("--end");
    await eventually(published).toHaveLength(8);
    third.child.kill("SIGTERM");
    await third.ended;
    expect((await published()).slice(0, 8)).toEqual([
      ...["1", "2", "unfinished", "between", "3", "4", "5"],
      "6, and longer than what was there before it was cut",
    ]);
  });

  it("reads no other program's log that is called like a rotated one, also after it went on", async () => {
    await using world = await startFollowing();
    const { directory, file, follow, published } = world;
    const other = join(directory, "build-2.log");
    await writeFile(other, "other 1\n");
    await writeFile(file, "1\n");
    await using first = follow();
    await eventually(published).toEqual(["1"]);
    await kill(first);
    await appendFile(file, "2\n");
    await using second = follow();
    await eventually(published).toEqual(["1", "2"]);
    await rename(file, `${file}.1`);
    await appendFile(other, "other 2\n");
    await writeFile(file, "3\n");
    await eventually(published).toContain("3");
    expect(await published()).toEqual(["1", "2", "3"]);
    second.child.kill("SIGTERM");
    expect(await second.ended).toMatchObject({ code: 0 });
  });

  it("begins at the end on demand, and from then on misses nothing", async () => {
    await using world = await startFollowing();
    const { file, state, follow, published } = world;
    await writeFile(file, "old\nolder\n");
    await using first = follow("--from", "end");
    await eventually(() => readFile(state, "utf8").catch(() => "")).toContain('"offset":10');
    await kill(first);
    await appendFile(file, "new\n");
    await using second = follow("--from", "end");
    await eventually(published).toEqual(["new"]);
    await kill(second);
  });

  // Killed after the log had it, before that was written down: the state from before stands for one that was.
  it.each([
    ["within the duplicate window", 120_000],
    ["and after the duplicate window", 300],
  ])("publishes once what it had sent when it was killed, %s", async (_, windowMs) => {
    await using world = await startFollowing({ duplicate_window: nanos(windowMs) });
    const { nats, file, state, follow, published, sent } = world;
    await writeFile(file, "1\n");
    await using first = follow();
    await eventually(published).toEqual(["1"]);
    await eventually(sent).toBe(0);
    nats.suspend();
    await appendFile(file, `2\n${"long".repeat(200_000)}\n3\n`);
    await eventually(sent).toBeGreaterThan(2);
    const sentAt = Date.now();
    await copyFile(state, `${state}.before`);
    nats.resume();
    await eventually(sent).toBe(0);
    await kill(first);
    const all = await published();
    await rename(`${state}.before`, state);
    // By another name it is the same file.
    await rename(file, `${file}.1`);
    await writeFile(file, "4\n");
    if (windowMs < 1_000) await eventually(Date.now).toBeGreaterThan(sentAt + 2 * windowMs);
    await using second = follow();
    await eventually(published).toContain("4");
    expect(await published()).toEqual([...all, "4"]);
    second.child.kill("SIGTERM");
    expect(await second.ended).toMatchObject({ code: 0 });
  });

  it("publishes once what it had sent when it was killed, also where the clock says that it was not yet", async () => {
    await using world = await startFollowing({ duplicate_window: nanos(300) });
    const { nats, file, state, follow, published, sent } = world;
    await writeFile(file, "1\n");
    await using first = follow();
    await eventually(published).toEqual(["1"]);
    await eventually(sent).toBe(0);
    nats.suspend();
    await appendFile(file, "2\n");
    await eventually(sent).toBe(1);
    const before = JSON.parse(await readFile(state, "utf8")) as { sent: { at: number }[] };
    nats.resume();
    await eventually(sent).toBe(0);
    const storedAt = Date.now();
    await kill(first);
    // As a clock that was set back by an hour would have it.
    const later = before.sent.map((batch) => ({ ...batch, at: batch.at + 3_600_000 }));
    await writeFile(state, JSON.stringify({ ...before, sent: later }));
    await eventually(Date.now).toBeGreaterThan(storedAt + 600);
    await appendFile(file, "3\n");
    await using second = follow();
    await eventually(published).toContain("3");
    expect(await published()).toEqual(["1", "2", "3"]);
    await kill(second);
  });

  it("skips a byte order mark where the file begins, also in what it publishes again", async () => {
    await using world = await startFollowing();
    const { nats, file, follow, sent } = world;
    const payloads = async () => (await eventsInLog(nats)).map(({ payload }) => payload);
    await writeFile(file, "");
    await using first = follow("--type", "deploy.step");
    await eventually(sent).toBe(0);
    nats.suspend();
    await appendFile(file, '\ufeff{"a":1}\n');
    await eventually(sent).toBe(1);
    await kill(first);
    nats.resume();
    await using second = follow("--type", "deploy.step");
    await eventually(payloads).toEqual([{ a: 1 }]);
    await rename(file, `${file}.1`);
    await writeFile(file, '\ufeff{"a":2}\n');
    await eventually(payloads).toEqual([{ a: 1 }, { a: 2 }]);
    second.child.kill("SIGTERM");
    expect(await second.ended).toMatchObject({ code: 0, stderr: "kata: 2 lines published\n" });
  });

  it("tells where a line is that was not published, whoever read what is before it", async () => {
    await using world = await startFollowing();
    const { nats, file, follow } = world;
    const payloads = async () => (await eventsInLog(nats)).map(({ payload }) => payload);
    await writeFile(file, "1\n2\n");
    await using first = follow("--type", "deploy.step");
    await eventually(payloads).toEqual([1, 2]);
    first.child.kill("SIGTERM");
    await first.ended;
    const long = JSON.stringify("x".repeat(600 * 1024));
    await appendFile(file, `3\nné\nnone\n${long}\n4\n`);
    await using second = follow("--type", "deploy.step");
    await eventually(payloads).toEqual([1, 2, 3, 4]);
    await rename(file, `${file}.1`);
    await writeFile(file, "5\nnone\n6\n");
    await eventually(payloads).toEqual([1, 2, 3, 4, 5, 6]);
    second.child.kill("SIGTERM");
    const { code, stderr } = await second.ended;
    expect({ code, stderr: stderr.split("\n") }).toEqual({
      code: 1,
      stderr: [
        `kata: the line at byte 6 of ${file} was not published: not JSON: né`,
        `kata: the line at byte 10 of ${file} was not published: not JSON: none`,
        `kata: the line that ends at byte ${15 + long.length} of ${file} was not published: it is too long, an event has at most 512 KiB`,
        `kata: the line at byte 2 of ${file} was not published: not JSON: none`,
        "kata: 4 lines published, 4 not",
        "",
      ],
    });
  });

  it("goes on though a crash left a draft of the state", async () => {
    await using world = await startFollowing();
    const { directory, file, state, follow, published } = world;
    await writeFile(file, "1\n");
    await using first = follow();
    await eventually(published).toEqual(["1"]);
    await kill(first);
    await writeFile(`${state}.new`, (await readFile(state, "utf8")).slice(0, 100));
    await appendFile(file, "2\n");
    await using second = follow();
    await eventually(published).toEqual(["1", "2"]);
    second.child.kill("SIGTERM");
    expect(await second.ended).toMatchObject({ code: 0 });
    expect(await readdir(directory)).toEqual(["build.log", "state.json"]);
  });

  it("publishes what it had written down to send, and had not sent when it was killed", async () => {
    await using world = await startFollowing();
    const { nats, file, follow, published, sent } = world;
    await writeFile(file, "1\n");
    await using first = follow();
    await eventually(published).toEqual(["1"]);
    await eventually(sent).toBe(0);
    await nats.kill();
    await appendFile(file, "2\n3\n");
    await eventually(sent).toBe(1);
    await kill(first);
    await nats.start();
    await appendFile(file, "4\n");
    await using second = follow();
    await eventually(published).toEqual(["1", "2", "3", "4"]);
    second.child.kill("SIGTERM");
    expect(await second.ended).toMatchObject({ code: 0, stderr: "kata: 3 lines published\n" });
  });

  it("tells what is gone that it had written down to send", async () => {
    await using world = await startFollowing();
    const { nats, file, follow, published, sent } = world;
    await writeFile(file, "1\n");
    await using first = follow();
    await eventually(published).toEqual(["1"]);
    await eventually(sent).toBe(0);
    await nats.kill();
    await appendFile(file, "2\n");
    await eventually(sent).toBe(1);
    await kill(first);
    await nats.start();
    await unlink(file);
    await writeFile(file, "3\n");
    await using second = follow();
    await eventually(published).toEqual(["1", "3"]);
    second.child.kill("SIGTERM");
    const { code, stderr } = await second.ended;
    expect(code).toBe(1);
    expect(stderr.split("\n")).toEqual([
      `kata: 2 bytes behind byte 2 of ${file} are gone, and it is not known whether they were published`,
      `kata: what stood in ${file} behind byte 4 is not to be found: lines may be missing`,
      "kata: 1 lines published, 2 not",
      "",
    ]);
  });

  it.each(repeats)(
    "attacks invariant 3: killed again and again while lines are written and rotated, each is there once (%i)",
    async () => {
      const random = seededRandom();
      await using world = await startFollowing();
      const { file, follow, published, sent } = world;
      await writeFile(file, "");
      const written: string[] = [];
      let rotations = 0;
      const write = async (): Promise<void> => {
        const lines = Array.from({ length: 1 + Math.floor(random() * 2_000) }, (_, i) =>
          `line ${written.length + i}`.padEnd(Math.floor(random() * 200), "#"),
        );
        written.push(...lines);
        await appendFile(file, lines.map((line) => `${line}\n`).join(""));
        if (random() < 0.3) {
          for (let n = rotations; n >= 1; n--) await rename(`${file}.${n}`, `${file}.${n + 1}`);
          await rename(file, `${file}.1`);
          rotations++;
          await writeFile(file, "");
        }
      };
      for (let round = 0; round < 8; round++) {
        await using publish = follow();
        // From then on it is known where the file is followed.
        await eventually(sent).toBeGreaterThanOrEqual(0);
        const before = (await published()).length;
        for (let i = 0; i < 5; i++) await write();
        // Killed somewhere on the way, or when it has all.
        const until = before + Math.floor(random() * (written.length - before));
        await eventually(async () => (await published()).length).toBeGreaterThanOrEqual(until);
        await kill(publish);
      }
      await using last = follow();
      await appendFile(file, "end\n");
      written.push("end");
      await eventually(async () => (await published()).at(-1)).toBe("end");
      const all = await published();
      const wrong = all.findIndex((line, i) => line !== written[i]);
      expect({ wrong, line: all[wrong], instead: written[wrong], lines: all.length }).toEqual({
        wrong: -1,
        lines: written.length,
      });
      last.child.kill("SIGTERM");
      expect(await last.ended).toMatchObject({ code: 0 });
    },
  );
});

describe("a state of another log", () => {
  it("is told as soon as the log answers, and however often it is tried that one has a single batch, once", async () => {
    await using world = await startFollowing();
    const { directory, file, state, follow, published } = world;
    await writeFile(file, "1\n2\n");
    await using first = follow();
    await eventually(published).toEqual(["1", "2"]);
    first.child.kill("SIGTERM");
    expect(await first.ended).toMatchObject({ code: 0 });
    await using otherNats = await startNats();
    await ensureTestStream(otherNats.url);
    const other = following(otherNats, directory);
    const lines = Array.from({ length: 5_000 }, (_, i) => String(i + 3));
    await appendFile(file, `${lines.join("\n")}\n`);
    for (let i = 0; i < 2; i++) {
      await using second = other.follow("--end");
      const { code, stderr } = await second.ended;
      expect({ code, stderr: stderr.split("\n") }).toEqual({
        code: 1,
        stderr: [
          "kata: 1000 lines published",
          `kata: the log is not the one that the state ${state} is of: it was made anew, or is another server's, and lacks what was published before; publish to the other one, or remove the state to begin anew`,
          "",
        ],
      });
      expect(await other.published()).toEqual(lines.slice(0, 1_000));
    }
    // With the log that it is of it goes on: every line once, in order.
    await using third = follow();
    await eventually(async () => (await published()).length).toBe(5_002);
    expect(await published()).toEqual(["1", "2", ...lines]);
    third.child.kill("SIGTERM");
    expect(await third.ended).toMatchObject({ code: 0 });
  });

  it("is told where the log is made anew while the file is followed", async () => {
    await using world = await startFollowing();
    const { nats, file, follow, published } = world;
    await writeFile(file, "1\n");
    await using first = follow();
    await eventually(published).toEqual(["1"]);
    await recreateTestStream(nats.url);
    await appendFile(file, "2\n");
    expect(await first.ended).toMatchObject({ code: 1, stderr: expect.stringContaining("it was made anew") });
  });
});

describe("a state that cannot be written any more", () => {
  it("ends it with one clear line; whoever goes on publishes what it left, in order and once", async () => {
    await using world = await startFollowing();
    const { file, state, follow, published, sent } = world;
    await writeFile(file, "1\n");
    await using first = follow();
    await eventually(published).toEqual(["1"]);
    await eventually(sent).toBe(0);
    await mkdir(`${state}.new`);
    await appendFile(file, "2\n");
    const { code, stderr } = await first.ended;
    expect({ code, stderr: stderr.split("\n") }).toEqual({
      code: 1,
      stderr: [
        "kata: 1 lines published",
        expect.stringMatching(/^kata: cannot write the state .+state\.json: EISDIR/),
        "",
      ],
    });
    await rmdir(`${state}.new`);
    await appendFile(file, "3\n");
    await using second = follow();
    await eventually(published).toEqual(["1", "2", "3"]);
    second.child.kill("SIGTERM");
    expect(await second.ended).toMatchObject({ code: 0 });
  });
});

describe("a state that another process has", () => {
  it("is refused with one clear line, also of two that begin at once; its lock goes with the process", async () => {
    await using world = await startFollowing();
    const { directory, file, state, follow, published } = world;
    await writeFile(file, "1\n");
    await using one = follow();
    await using other = follow();
    const { code, stderr } = await Promise.race([one.ended, other.ended]);
    const first = one.child.exitCode === null ? one : other;
    expect(code).toBe(1);
    expect(stderr).toBe(
      `kata: the state ${state} is in use by process ${first.pid}: stop that one, or name another --state (if it is no kata publish, remove ${state}.lock)\n`,
    );
    await eventually(published).toEqual(["1"]);
    await appendFile(file, "2\n");
    await eventually(published).toEqual(["1", "2"]);
    first.child.kill("SIGTERM");
    expect(await first.ended).toMatchObject({ code: 0 });
    expect(await readdir(directory)).toEqual(["build.log", "state.json"]);
  });

  const leftBehind: [string, () => Promise<string>][] = [
    ["that is no more", async () => JSON.stringify({ pid: await pidOfNobody(), began: "" })],
    ["that lost power before it wrote who it is", async () => ""],
  ];
  if (existsSync("/proc/self/stat")) {
    const reused = JSON.stringify({ pid: process.pid, began: "some-boot 12345" });
    leftBehind.push(["whose number another one has now", async () => reused]);
  }
  it.each(leftBehind)("%s: it is taken over", async (_, leave) => {
    await using world = await startFollowing();
    const { directory, file, state, follow, published } = world;
    await writeFile(file, "1\n");
    await writeFile(`${state}.lock`, await leave(), { mode: 0o600 });
    await using publish = follow();
    await eventually(published).toEqual(["1"]);
    publish.child.kill("SIGTERM");
    expect(await publish.ended).toMatchObject({ code: 0 });
    expect(await readdir(directory)).toEqual(["build.log", "state.json"]);
  });
});

describe("a state that cannot be gone on with is one clear line and exit code 1", () => {
  it.each([
    [
      "of another file",
      { file: "/var/log/other" },
      /is of the file \/var\/log\/other, not of .+build\.log: name another/,
    ],
    ["of another channel", { channel: "agent:other" }, /is of the channel agent:other, not of agent:build/],
    ["of another type", { type: "own" }, /is of the type own, not of log_entry/],
    ["of another team", { team: "other" }, /is of the team other, not of demo/],
    ["of another version", { version: 2 }, /is no state of kata publish, or damaged: name another file, or remove it/],
    ["that is cut", undefined, /is no state of kata publish, or damaged/],
  ])("%s", async (_, change, about) => {
    await using world = await startFollowing();
    const { nats, file, state, follow } = world;
    await writeFile(file, "1\n");
    await using first = follow();
    await eventually(() => messagesOf(nats)).toEqual(["1"]);
    await kill(first);
    const text = await readFile(state, "utf8");
    await writeFile(
      state,
      change === undefined ? text.slice(0, -9) : JSON.stringify({ ...JSON.parse(text), ...change }),
    );
    await using second = follow();
    const { code, stderr } = await second.ended;
    expect({ code, lines: stderr.split("\n").length }).toEqual({ code: 1, lines: 2 });
    expect(stderr).toMatch(about);
  });

  it.each([
    ["where it is the followed file", "e.log", "./e.log", {}, /the state .+e\.log is the followed file itself/],
    ["where it leads to the followed file", "e.log", "link", {}, /the state .+link is the followed file itself/],
    [
      "where its draft is the followed file",
      "c.new",
      "c",
      {},
      /c\.new, which goes with the state .+c, is the followed/,
    ],
    [
      "where its lock is the followed file",
      "d.lock",
      "d",
      {},
      /d\.lock, which goes with the state .+d, is the followed/,
    ],
    ["where it is called like a rotated one", "e.log", "e.log.1", {}, /e\.log\.1 is called like a rotated e\.log/],
    ["where its draft is somebody's", "e.log", "s", { "s.new": "theirs" }, /s\.new is not of kata publish/],
    ["where its draft is empty, and anybody's", "e.log", "s", { "s.new": "" }, /s\.new is not of kata publish/],
    ["where it is the followed file, which is there", "e.log", "e.log", { "e.log": "1\n" }, /the followed file itself/],
  ])("%s: every file stays what it is", async (_, log, state, files, about) => {
    await using directory = await tempDirectory();
    const at = (name: string) => `${directory.path}/${name}`;
    await symlink("e.log", at("link"));
    for (const [name, text] of Object.entries(files)) await writeFile(at(name), text);
    const names = await readdir(directory.path);
    const args = ["publish", CHANNEL, "--follow", at(log), "--state", at(state), "--retry"];
    await using publish = kata(args, { NATS_URL: "nats://127.0.0.1:1", KATA_TEAM: "demo" });
    const { code, stderr } = await publish.ended;
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^kata: .+: name another --state.*\n$/),
    });
    expect(stderr).toMatch(about);
    expect(await readdir(directory.path)).toEqual(names);
    for (const [name, text] of Object.entries(files)) expect(await readFile(at(name), "utf8")).toBe(text);
  });

  it.each([
    ["a list of packages", "# yarn lockfile v1\n"],
    ["another program's lock", JSON.stringify({ pid: 1, began: "", host: "here" })],
    ["empty, and anybody's", ""],
  ])("where what has its lock's name is %s: that stays", async (_, theirs) => {
    await using world = await startFollowing();
    const { nats, file, state, follow } = world;
    await writeFile(file, "1\n");
    await writeFile(`${state}.lock`, theirs, { mode: 0o644 });
    await using publish = follow();
    expect(await publish.ended).toMatchObject({
      code: 1,
      stderr: `kata: ${state}.lock is no lock of kata publish, and the state ${state} needs the name: name another --state, or move it away\n`,
    });
    expect(await readFile(`${state}.lock`, "utf8")).toBe(theirs);
    expect(await messagesOf(nats)).toEqual([]);
  });

  it("where the log takes no record of the size of a batch", async () => {
    await using world = await startFollowing({ max_msg_size: 32 * 1024 });
    const { nats, file, follow } = world;
    await writeFile(file, `${"x".repeat(99)}\n`.repeat(1_000));
    await using publish = follow();
    const { code, stderr } = await publish.ended;
    expect({ code, last: stderr.split("\n").at(-2) }).toEqual({
      code: 1,
      last: expect.stringMatching(
        /^kata: the log does not take batches of lines \(.+\): with --state, NATS's max_payload and /,
      ),
    });
    expect(await messagesOf(nats)).toEqual([]);
  });

  it("that cannot be written", async () => {
    await using world = await startFollowing();
    const { directory, nats, file } = world;
    await writeFile(file, "1\n");
    const state = join(directory, "nowhere", "state.json");
    await using publish = kata(["publish", CHANNEL, "--follow", file, "--state", state], publishing(nats));
    expect(await publish.ended).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^kata: cannot write the state .+nowhere.state\.json: ENOENT.+\n$/),
    });
    expect(await messagesOf(nats)).toEqual([]);
  });

  it.each([["--state", "s"], ["--from", "end"], ["--retry"]])("%s with stdin", async (...option) => {
    await using publish = kata(["publish", CHANNEL, "--follow", "-", ...option], { NATS_URL: "x", KATA_TEAM: "demo" });
    expect(await publish.ended).toMatchObject({
      code: 1,
      stderr: `kata: ${option[0]} goes with --follow FILE: what was read from stdin cannot be read again\n`,
    });
  });
});
