import {
  appendFile,
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  rename,
  rm,
  rmdir,
  symlink,
  truncate,
  unlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Standing } from "./file-place.ts";
import { type FollowedSource, followFile } from "./follow.ts";
import { linesOf } from "./stretch.ts";

let directory: string;
let file: string;
const open: Follower[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kata-follow-"));
  file = join(directory, "app.log");
});
afterEach(async () => {
  for (const follower of open.splice(0)) await follower.stop();
  await rm(directory, { recursive: true });
});

/** Reads what is followed only when it is asked to, so that what happens in between is certain. */
class Follower {
  readonly source: FollowedSource;
  readonly told: string[];
  readonly #stop: AbortController;
  readonly #lines: string[] = [];

  constructor(source: FollowedSource, told: string[], stop: AbortController) {
    this.source = source;
    this.told = told;
    this.#stop = stop;
  }

  /** Reads on until there are so many lines more, and gives them. */
  async lines(count: number): Promise<string[]> {
    while (this.#lines.length < count) {
      if (!(await this.source.more())) throw new Error(`over after ${JSON.stringify(this.#lines)}`);
      this.#take();
    }
    return this.#lines.splice(0);
  }

  /** What is still read after the signal. */
  async rest(): Promise<string[]> {
    this.#stop.abort();
    while (await this.source.more()) this.#take();
    return this.#lines.splice(0);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.source.close();
  }

  #take(): void {
    const { bytes, ended } = this.source;
    const whole = ended ? bytes.length : bytes.lastIndexOf(10) + 1;
    this.#lines.push(...linesOf(bytes.subarray(0, whole)).map(String));
    this.source.take(whole);
  }
}

async function follow(
  options: {
    from?: "start" | "end" | Standing;
    retry?: boolean;
    leaveUnfinished?: boolean;
    path?: string;
    told?: string[];
  } = {},
): Promise<Follower> {
  const { told = [] } = options;
  const stop = new AbortController();
  const source = await followFile({
    path: options.path ?? file,
    signal: stop.signal,
    from: options.from ?? "start",
    retry: options.retry ?? false,
    leaveUnfinished: options.leaveUnfinished ?? false,
    tell: (line) => told.push(line),
    lost: (line) => told.push(line),
  });
  if (source === undefined) throw new Error("there was no file");
  const follower = new Follower(source, told, stop);
  open.push(follower);
  return follower;
}

describe("a followed file that is rotated by renaming", () => {
  it("is read to its end, then the new one", async () => {
    await writeFile(file, "1\n2\n");
    const follower = await follow();
    expect(await follower.lines(2)).toEqual(["1", "2"]);
    await appendFile(file, "3\nunfinished");
    await rename(file, `${file}.1`);
    await writeFile(file, "4\n");
    expect(await follower.lines(3)).toEqual(["3", "unfinished", "4"]);
    expect(follower.told).toEqual([]);
  });

  it("is read on while nothing has its name, and while the new one is empty", async () => {
    await writeFile(file, "1\n");
    const follower = await follow();
    expect(await follower.lines(1)).toEqual(["1"]);
    await rename(file, `${file}.1`);
    await appendFile(`${file}.1`, "2, written before it is opened anew\n");
    expect(await follower.lines(1)).toEqual(["2, written before it is opened anew"]);
    await writeFile(file, "");
    await appendFile(`${file}.1`, "3, too\n");
    expect(await follower.lines(1)).toEqual(["3, too"]);
    await appendFile(file, "4\n");
    expect(await follower.lines(1)).toEqual(["4"]);
  });

  it("several times between two looks: none is left out, older ones are not read", async () => {
    await writeFile(`${file}.1`, "older\n");
    await writeFile(`${file}.2.gz`, "compressed\n");
    await writeFile(`${file}.old`, "somebody's copy\n");
    await writeFile(file, "1\n");
    const follower = await follow();
    expect(await follower.lines(1)).toEqual(["1"]);
    for (let round = 2; round <= 5; round++) {
      await appendFile(file, `rest ${round}\n`);
      for (let n = round; n >= 1; n--) await rename(`${file}.${n}`, `${file}.${n + 1}`).catch(() => undefined);
      await rename(file, `${file}.1`);
      await writeFile(file, `${round}\n`);
    }
    expect(await follower.lines(8)).toEqual(["rest 2", "2", "rest 3", "3", "rest 4", "4", "rest 5", "5"]);
    expect(await follower.rest()).toEqual([]);
  });

  it.each([
    ["behind the extension", ["app.log-20261124", "app.log-20261125"]],
    ["before the extension", ["app-2026-11-24.log", "app-2026-11-25.log"]],
  ])("under names with a date %s", async (_, [first = "", second = ""]) => {
    await writeFile(file, "1\n");
    const follower = await follow();
    expect(await follower.lines(1)).toEqual(["1"]);
    await rename(file, join(directory, first));
    await writeFile(file, "2\n");
    await rename(file, join(directory, second));
    await writeFile(file, "3\n");
    expect(await follower.lines(2)).toEqual(["2", "3"]);
  });

  it("or removed and made anew, or replaced by another link", async () => {
    await writeFile(file, "1\n");
    const follower = await follow();
    expect(await follower.lines(1)).toEqual(["1"]);
    await appendFile(file, "2\n");
    await unlink(file);
    await writeFile(file, "3\n");
    expect(await follower.lines(2)).toEqual(["2", "3"]);
    const [first, second] = [join(directory, "first"), join(directory, "second")];
    const current = join(directory, "current");
    await writeFile(first, "a\n");
    await writeFile(second, "b\n");
    await symlink(first, current);
    const linked = await follow({ path: current });
    expect(await linked.lines(1)).toEqual(["a"]);
    await symlink(second, `${current}.new`);
    await rename(`${current}.new`, current);
    expect(await linked.lines(1)).toEqual(["b"]);
  });

  it("or is a link to the file of a day, the next of which is there before the link leads to it", async () => {
    const day = (number: number) => join(directory, `app-2026-11-${number}.log`);
    const link = async (number: number) => {
      await symlink(day(number), `${file}.new`);
      await rename(`${file}.new`, file);
    };
    await writeFile(day(25), "1\n2\n");
    await link(25);
    const before = await follow();
    expect(await before.lines(2)).toEqual(["1", "2"]);
    const { standing } = before.source;
    await before.stop();
    await writeFile(day(26), "3\n4\n");
    await link(26);
    await writeFile(day(27), "5\n");
    // Written to since it is followed: what is there of the next day is no copy of it.
    const now = new Date();
    await utimes(day(25), now, Date.now() / 1_000 - 3);
    await utimes(day(26), now, Date.now() / 1_000 - 2);
    await utimes(day(27), now, Date.now() / 1_000 - 1);
    const follower = await follow({ from: standing });
    expect(await follower.lines(2)).toEqual(["3", "4"]);
    await link(27);
    await appendFile(day(27), "6\n");
    expect(await follower.lines(2)).toEqual(["5", "6"]);
    expect(await follower.rest()).toEqual([]);
    expect(follower.told).toEqual([]);
  });

  it("to what is no file, until it is", async () => {
    await writeFile(file, "1\n");
    const follower = await follow();
    expect(await follower.lines(1)).toEqual(["1"]);
    await rename(file, `${file}.1`);
    await mkdir(file);
    await appendFile(`${file}.1`, "2\n");
    expect(await follower.lines(1)).toEqual(["2"]);
    await rmdir(file);
    await writeFile(file, "3\n");
    expect(await follower.lines(1)).toEqual(["3"]);
  });

  it.skipIf(process.getuid?.() === 0)("to one that may not be read: that is told once, until it may", async () => {
    await writeFile(file, "1\n");
    const follower = await follow();
    expect(await follower.lines(1)).toEqual(["1"]);
    await rename(file, `${file}.1`);
    await writeFile(file, "2\n", { mode: 0 });
    const coming = follower.lines(1);
    await expect
      .poll(() => follower.told)
      .toEqual([expect.stringMatching(/^cannot read .+: EACCES.+; trying until it can be$/)]);
    await chmod(file, 0o600);
    expect(await coming).toEqual(["2"]);
    expect(follower.told).toHaveLength(1);
  });
});

describe("a followed file that is cut", () => {
  it("is read anew, also if it is as long again, or longer, when it is looked at", async () => {
    await writeFile(file, "1: one\n2: two\n");
    const follower = await follow();
    expect(await follower.lines(2)).toEqual(["1: one", "2: two"]);
    for (const lines of [["3: x"], ["4: as", "5: long"], ["6: longer", "than", "all before it"]]) {
      await truncate(file, 0);
      await appendFile(file, lines.map((line) => `${line}\n`).join(""));
      expect(await follower.lines(lines.length)).toEqual(lines);
    }
    expect(follower.told).toEqual([]);
  });

  it("after it was copied: what was not read yet is read in the copy", async () => {
    await writeFile(`${file}.1`, "1\nan older copy\n");
    await writeFile(file, "1\n");
    const follower = await follow();
    expect(await follower.lines(1)).toEqual(["1"]);
    await appendFile(file, "2\nthr");
    expect(await follower.lines(1)).toEqual(["2"]);
    await appendFile(file, "ee\n4\n");
    await rename(`${file}.1`, `${file}.2`);
    await copyFile(file, `${file}.1`);
    await truncate(file, 0);
    await appendFile(file, "5\nand longer than before\n");
    expect(await follower.lines(4)).toEqual(["three", "4", "5", "and longer than before"]);
    await appendFile(file, "6\n");
    expect(await follower.lines(1)).toEqual(["6"]);
    expect(follower.told).toEqual([]);
  });

  it("twice between two looks: both copies are read", async () => {
    await writeFile(file, "1\n");
    const follower = await follow();
    expect(await follower.lines(1)).toEqual(["1"]);
    for (const line of ["2", "3", "4"]) {
      await appendFile(file, `${line}\n`);
      if (line === "4") break;
      await rename(`${file}.1`, `${file}.2`).catch(() => undefined);
      await copyFile(file, `${file}.1`);
      await truncate(file, 0);
    }
    expect(await follower.lines(3)).toEqual(["2", "3", "4"]);
  });

  it("though nothing of it was read yet: the copy is", async () => {
    await writeFile(`${file}.1`, "older\n");
    await writeFile(file, "");
    const follower = await follow();
    // Of a clock that goes in ticks, the next one.
    await utimes(`${file}.1`, 1, 1);
    await appendFile(file, "1\n");
    await rename(`${file}.1`, `${file}.2`);
    await copyFile(file, `${file}.1`);
    await utimes(`${file}.1`, new Date(), new Date(Date.now() + 1_000));
    await truncate(file, 0);
    expect(await follower.lines(1)).toEqual(["1"]);
    await appendFile(file, "2\n");
    expect(await follower.lines(1)).toEqual(["2"]);
  });

  it("not yet, though it was copied: it is read in itself, once", async () => {
    await writeFile(file, "");
    const follower = await follow();
    await appendFile(file, "1\n");
    await copyFile(file, `${file}.1`);
    for (const [path, s] of [
      [`${file}.1`, 1],
      [file, 2],
    ] as const)
      await utimes(path, new Date(), Date.now() / 1_000 + s);
    expect(await follower.lines(1)).toEqual(["1"]);
    await appendFile(file, "2\n");
    expect(await follower.lines(1)).toEqual(["2"]);
    await truncate(file, 0);
    await appendFile(file, "3\n");
    expect(await follower.lines(1)).toEqual(["3"]);
  });

  it.each(["rename", "copy and cut"])(
    "any number of times between two looks: %s",
    { timeout: 60_000 },
    async (rotation) => {
      const step = fc.constantFrom("append", "append", rotation, "another program");
      const looks = fc.array(fc.array(step, { minLength: 1, maxLength: 8 }), { minLength: 10, maxLength: 30 });
      let run = 0;
      await fc.assert(
        fc.asyncProperty(looks, async (all) => {
          const folder = join(directory, `run-${run++}`);
          await mkdir(folder);
          const log = join(folder, "app.log");
          await writeFile(log, "");
          const follower = await follow({ path: log });
          let written = 0;
          let rotations = 0;
          /** Later than what was written to before, by more than a tick of the clock. */
          const touch = (path: string) => utimes(path, new Date(), Date.now() / 1_000 + written + rotations);
          for (const steps of all) {
            const expected: string[] = [];
            for (const what of steps) {
              if (what === "append") {
                expected.push(`line ${++written}`, `line ${++written}`);
                await appendFile(
                  log,
                  expected
                    .slice(-2)
                    .map((line) => `${line}\n`)
                    .join(""),
                );
              } else if (what === "another program") {
                await appendFile(join(folder, "app-2.log"), "alien\n");
                await touch(join(folder, "app-2.log"));
              } else {
                for (let n = rotations; n >= 1; n--) await rename(`${log}.${n}`, `${log}.${n + 1}`);
                rotations++;
                if (what === "rename") {
                  await rename(log, `${log}.1`);
                  await writeFile(log, "");
                } else {
                  await copyFile(log, `${log}.1`);
                  await touch(`${log}.1`);
                  await truncate(log, 0);
                }
              }
              await touch(log);
            }
            if (expected.length > 0) expect(await follower.lines(expected.length)).toEqual(expected);
          }
          expect(await follower.rest()).toEqual([]);
          expect(follower.told).toEqual([]);
        }),
        // A line that never comes is waited for.
        { numRuns: 15, timeout: 20_000, endOnFailure: true },
      );
    },
  );

  it("when it was known to hold more: that is told", async () => {
    const line = `${"x".repeat(99)}\n`;
    await writeFile(file, line.repeat(10_000));
    const follower = await follow();
    const { length } = await follower.lines(1);
    await truncate(file, 0);
    await appendFile(file, "new\n");
    // What was there of the line that was cut through, too.
    expect(await follower.lines(2)).toEqual(["x".repeat((256 * 1024) % 100), "new"]);
    expect(follower.told).toEqual([
      `${file} was cut short when ${1_000_000 - 256 * 1024} bytes of it were not read yet: lines are missing`,
    ]);
    expect(length).toBe(Math.floor((256 * 1024) / 100));
  });
});

describe("another program's log that is called like a rotated one is not read", () => {
  let other: string;
  beforeEach(() => {
    other = join(directory, "app-2.log");
  });

  /** Writes files one after the other, by more than a tick of the clock; to those that are there they are appended. */
  async function write(...files: [path: string, text: string][]): Promise<void> {
    for (const [at, [path, text]] of files.entries()) {
      await appendFile(path, text);
      await utimes(path, new Date(), Date.now() / 1_000 + at);
    }
  }

  it("where it is made while the file is followed, and the file is renamed", async () => {
    await write([file, "1\n"]);
    const follower = await follow();
    expect(await follower.lines(1)).toEqual(["1"]);
    await rename(file, `${file}.1`);
    await write([other, "alien\n"], [file, "2\n"]);
    expect(await follower.lines(1)).toEqual(["2"]);
    await rename(`${file}.1`, `${file}.2`);
    await rename(file, `${file}.1`);
    await write([other, "alien\n"], [file, "3\n"]);
    expect(await follower.lines(1)).toEqual(["3"]);
  });

  it("where nothing of the file was read yet", async () => {
    await writeFile(file, "");
    const follower = await follow();
    await write([other, "alien\n"], [file, "1\n"]);
    expect(await follower.lines(1)).toEqual(["1"]);
    await write([other, "alien\n"], [file, "2\n"]);
    expect(await follower.lines(1)).toEqual(["2"]);
  });

  it("where it is there before the file that is waited for; what that was renamed to before it was seen is", async () => {
    const told: string[] = [];
    const coming = follow({ retry: true, told });
    await expect.poll(() => told).toEqual([`there is no file ${file} yet, waiting for it`]);
    await write([other, "alien\n"], [`${file}.1`, "1\n"], [`${file}.new`, "2\n"]);
    await rename(`${file}.new`, file);
    expect(await (await coming).lines(2)).toEqual(["1", "2"]);
  });

  it("where it was there while the file had its name, and has a name like those that the file gets", async () => {
    await write([file, "1\n"]);
    const follower = await follow();
    expect(await follower.lines(1)).toEqual(["1"]);
    const coming = follower.lines(1);
    await write([other, "alien\n"]);
    await expect.poll(() => follower.source.standing.older).toHaveLength(1);
    await rename(file, join(directory, "app-1.log"));
    await write([other, "alien\n"], [file, "2\n"]);
    expect(await coming).toEqual(["2"]);
  });

  it.each(["is renamed", "is renamed, and renamed again before anybody goes on", "is removed"])(
    "where it was there before, and the file %s",
    async (what) => {
      await write([other, "alien\n"], [file, "1\n2\n"]);
      const before = await follow();
      expect(await before.lines(2)).toEqual(["1", "2"]);
      const { standing } = before.source;
      await before.stop();
      const away = what.includes("goes on") || what === "is removed";
      let follower = away ? undefined : await follow({ from: standing });
      const expected = ["3"];
      if (what === "is removed") await unlink(file);
      else await rename(file, `${file}.1`);
      await write([other, "alien\n"], [file, "3\n"]);
      if (what.includes("goes on")) {
        await rename(`${file}.1`, `${file}.2`);
        await rename(file, `${file}.1`);
        await write([other, "alien\n"], [`${file}.1`, ""], [other, "alien\n"], [file, "4\n"]);
        expected.push("4");
      }
      follower ??= await follow({ from: standing });
      expect(await follower.lines(expected.length)).toEqual(expected);
      expect(await follower.rest()).toEqual([]);
    },
  );

  it("where the file is gone, and one that it was renamed to before says how such are called", async () => {
    await write([file, "1\n"]);
    const before = await follow();
    expect(await before.lines(1)).toEqual(["1"]);
    await rename(file, `${file}.1`);
    await write([file, "2\n"]);
    expect(await before.lines(1)).toEqual(["2"]);
    const { standing } = before.source;
    await before.stop();
    await unlink(file);
    await write([`${file}.1.new`, "3\n"], [other, "alien\n"], [file, "4\n"]);
    await rename(`${file}.1.new`, `${file}.1`);
    expect(await (await follow({ from: standing })).lines(2)).toEqual(["3", "4"]);
  });
});

describe("where a followed file is begun and left", () => {
  it("at its end: with the line that is being written", async () => {
    await writeFile(file, "1\n2\nunfin");
    const follower = await follow({ from: "end" });
    await appendFile(file, "ished\n3\n");
    expect(await follower.lines(2)).toEqual(["unfinished", "3"]);
  });

  it("one that is not there is waited for on demand", async () => {
    await expect(follow()).rejects.toThrow(`there is no file ${file}: name one that exists, or - for stdin`);
    const coming = follow({ retry: true });
    await writeFile(`${file}.new`, "1\n");
    await rename(`${file}.new`, file);
    expect(await (await coming).lines(1)).toEqual(["1"]);
  });

  it("an unfinished line is given at the end, or left for whoever goes on", async () => {
    await writeFile(file, "1\nunfinished");
    expect(await (await follow()).rest()).toEqual(["1", "unfinished"]);
    const follower = await follow({ leaveUnfinished: true });
    expect(await follower.rest()).toEqual(["1"]);
    expect(follower.source.place.offset).toBe(2);
  });

  it("a signal is followed by what the file holds, and what took its place, and no more", async () => {
    await writeFile(file, "1\n");
    const follower = await follow();
    expect(await follower.lines(1)).toEqual(["1"]);
    await appendFile(file, "2\n");
    await rename(file, `${file}.1`);
    await writeFile(file, "3\n");
    expect(await follower.rest()).toEqual(["2", "3"]);
  });

  async function leave(): Promise<Standing> {
    const follower = await follow();
    expect(await follower.lines(2)).toEqual(["1", "2"]);
    const { standing } = follower.source;
    await follower.stop();
    return standing;
  }

  it("at a place: whatever happened to the file meanwhile", async () => {
    await writeFile(`${file}.1`, "1\n2\nolder\n");
    await writeFile(file, "1\n2\n");
    const same = await leave();
    await appendFile(file, "3\n");
    expect(await (await follow({ from: same })).lines(1)).toEqual(["3"]);
    // Renamed twice, with another in between.
    await rename(`${file}.1`, `${file}.4`);
    await rename(file, `${file}.3`);
    await writeFile(`${file}.1`, "4\n");
    await writeFile(file, "5\n");
    expect(await (await follow({ from: same })).lines(3)).toEqual(["3", "4", "5"]);
  });

  it.each([
    ["app.log.2", "app.log.1"],
    ["app.log-20261124", "app.log-20261125"],
  ])(
    "at a place: not with an older file again that was written to in the same tick of the clock (%s, %s)",
    async (...names) => {
      const [older = "", rotated = ""] = names.map((name) => join(directory, name));
      await writeFile(file, "1\n2\n");
      const place = await leave();
      await appendFile(file, "3\n");
      await rename(file, rotated);
      await writeFile(older, "older\n");
      await writeFile(file, "4\n");
      const now = new Date();
      for (const each of [older, rotated, file]) await utimes(each, now, now);
      expect(await (await follow({ from: place })).lines(2)).toEqual(["3", "4"]);
    },
  );

  it("at a place: in a copy, if it was cut after that was made", async () => {
    await writeFile(file, "1\n2\n");
    const place = await leave();
    await appendFile(file, "3\n");
    await copyFile(file, `${file}.1`);
    await truncate(file, 0);
    await appendFile(file, "4\nlonger than the place\n");
    expect(await (await follow({ from: place })).lines(3)).toEqual(["3", "4", "longer than the place"]);
  });

  it("at its start: in the copies, if it was written to and cut after they were made", async () => {
    await writeFile(`${file}.1`, "older\n");
    await writeFile(file, "");
    const { standing } = (await follow()).source;
    for (const [round, line] of ["1\n", "2\n"].entries()) {
      await rename(`${file}.1`, `${file}.2`);
      await writeFile(`${file}.1`, line);
      await utimes(`${file}.1`, new Date(), Date.now() / 1_000 + 1 + round);
    }
    await writeFile(file, "3\n");
    await utimes(file, new Date(), Date.now() / 1_000 + 3);
    const follower = await follow({ from: standing });
    expect(await follower.lines(3)).toEqual(["1", "2", "3"]);
    expect(await follower.rest()).toEqual([]);
  });

  it("at a place that is gone: what is there is read, and the gap is told", async () => {
    await writeFile(file, "1\n2\n");
    const place = await leave();
    await unlink(file);
    await writeFile(`${file}.1`, "between\n");
    await writeFile(file, "now\n");
    const follower = await follow({ from: place });
    expect(await follower.lines(2)).toEqual(["between", "now"]);
    expect(follower.told).toEqual([`what stood in ${file} behind byte 4 is not to be found: lines may be missing`]);
  });

  it("at a place in a file that was put in its place: by what is before, if that is enough to know it", async () => {
    const lines = Array.from({ length: 200 }, (_, i) => `line ${i}`);
    const text = lines.map((line) => `${line}\n`).join("");
    for (const [known, follows] of [
      [lines, ["new"]],
      [["line 0"], ["line 0", "new"]],
    ] as const) {
      await writeFile(file, known === lines ? text : "line 0\n");
      const before = await follow();
      expect(await before.lines(known.length)).toEqual(known);
      await copyFile(file, `${file}.new`);
      await appendFile(`${file}.new`, "new\n");
      await rename(`${file}.new`, file);
      const { place } = before.source;
      await before.stop();
      const follower = await follow({ from: place });
      expect(await follower.lines(follows.length)).toEqual(follows);
      expect(follower.told).toHaveLength(known === lines ? 0 : 1);
    }
  });
});
