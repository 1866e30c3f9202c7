import { fork } from "node:child_process";
import { once } from "node:events";
import { cp, open, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { SpooledRecord } from "../../publisher-sdk/src/spool-left.ts";
import { openSpool } from "../../publisher-sdk/src/spool-store.ts";
import { REPEAT, seededRandom } from "../support/random.ts";
import { createTempDirectory } from "../support/temp-directory.ts";

const OWNER = { teamId: "t1", stream: "KATA", via: "nats" as const };
const CHILD = fileURLToPath(new URL("./spool-child.ts", import.meta.url));

/** What a process that was killed had said. */
interface Said {
  readonly committed: Map<number, number>;
  readonly removing: Set<number>;
  readonly removed: Set<number>;
}

/** Runs the child until it has reported so many commits, and kills it in the middle of whatever it does then. */
async function killAfter(directory: string, first: number, seed: number, commits: number): Promise<Said> {
  const said: Said = { committed: new Map(), removing: new Set(), removed: new Set() };
  const output = `${directory}.said`;
  const file = await open(output, "w");
  const child = fork(CHILD, [directory, String(first), String(seed)], {
    execArgv: ["--conditions=kata-source", "--import", "tsx"],
    stdio: ["ignore", file.fd, "inherit", "ipc"],
  });
  const exited = once(child, "exit");
  let left = commits;
  child.on("message", () => {
    if (--left === 0) child.kill("SIGKILL");
  });
  expect(await exited).toEqual([null, "SIGKILL"]);
  await file.close();
  for (const line of (await readFile(output, "utf8")).split("\n")) {
    const [what, id, lines] = line.split(" ");
    if (what === "removing") said.removing.add(Number(id));
    else if (what === "removed") said.removed.add(Number(id));
    else if (what === "committed") said.committed.set(Number(id), Number(lines));
  }
  return said;
}

function lineCounts(left: readonly SpooledRecord[]): Map<number, number> {
  return new Map(left.map(({ messageId, lines }) => [Number(messageId), lines.length]));
}

describe("a spool whose process is killed", () => {
  test(
    "holds everything that was committed, in order, and nothing that was removed",
    async () => {
      const random = seededRandom();
      await using directory = await createTempDirectory();
      const path = join(directory.path, "spool");
      let first = 0;
      let before = new Map<number, number>();
      for (let round = 0; round < 20 * REPEAT; round++) {
        const commits = 1 + Math.floor(random() * 80);
        const said = await killAfter(path, first, Math.floor(random() * 2 ** 31), commits);
        const { spool, left } = await openSpool(path, OWNER);
        await spool.close();
        const found = lineCounts(left);
        const ids = [...found.keys()];
        expect(ids).toEqual([...ids].sort((a, b) => a - b));
        // What was there before this round stays until it is removed.
        for (const [id, lines] of [...before, ...said.committed]) {
          if (said.removed.has(id)) expect(found.has(id)).toBe(false);
          else if (!said.removing.has(id)) expect(found.get(id)).toBeGreaterThanOrEqual(lines);
        }
        for (const { messageId, channel, openedAt, lines } of left) {
          expect([channel, openedAt]).toEqual(["agent:a", 1_000 + Number(messageId)]);
          for (const [n, line] of lines.entries()) {
            expect(JSON.parse(line)).toMatchObject({ record: Number(messageId), n });
          }
        }
        expect(said.committed.size).toBeGreaterThan(0);
        before = found;
        first = Math.max(first, ...ids) + 1;
      }
    },
    120_000 * REPEAT,
  );
});

describe("a spool whose last bytes are lost", () => {
  /** What was there after each commit, as LevelDB's log holds it; the log's file. */
  async function written(path: string): Promise<{ states: string[]; log: string }> {
    const { spool } = await openSpool(path, OWNER);
    const states = [stateOf([])];
    const records: (SpooledRecord & { lines: string[] })[] = [];
    for (let i = 0; i < 120; i++) {
      // Same sizes, so that only what they are tells one from another.
      if (i % 3 === 0) records.push({ messageId: `id-${100 + i}`, channel: "agent:a", openedAt: i, lines: [] });
      const record = records.at(-1);
      if (record === undefined) throw new Error("no record");
      record.lines.push(`${"x".repeat(1_000)}${100 + i}`);
      spool.add(record, `${"x".repeat(1_000)}${100 + i}`);
      const done = records.length > 4 ? records.shift() : undefined;
      if (done !== undefined) spool.remove(done);
      await spool.commit();
      states.push(stateOf(records));
    }
    await spool.close();
    const log = (await readdir(path)).find((name) => name.endsWith(".log"));
    if (log === undefined) throw new Error("LevelDB has no log");
    return { states, log };
  }

  function stateOf(records: readonly SpooledRecord[]): string {
    return JSON.stringify(records.map(({ messageId, lines }) => [messageId, lines]));
  }

  async function reopen(path: string): Promise<string> {
    const { spool, left } = await openSpool(path, OWNER);
    await spool.close();
    return stateOf(left);
  }

  test("is as it was after one of its commits, wherever the log ends", async () => {
    const random = seededRandom();
    await using directory = await createTempDirectory();
    const path = join(directory.path, "spool");
    const { states, log } = await written(path);
    const { size } = await stat(join(path, log));
    const reached = new Set<string>();
    for (let i = 0; i < 60; i++) {
      const copy = join(directory.path, `torn-${i}`);
      await cp(path, copy, { recursive: true });
      await truncate(join(copy, log), Math.floor(random() * size));
      const state = await reopen(copy);
      expect(states).toContain(state);
      reached.add(state);
    }
    expect(reached.size).toBeGreaterThan(10);
    expect(await reopen(path)).toBe(states.at(-1));
  });

  test("says that it is damaged when a piece in the middle is", async () => {
    const random = seededRandom();
    await using directory = await createTempDirectory();
    const path = join(directory.path, "spool");
    const { states, log } = await written(path);
    const bytes = await readFile(join(path, log));
    let damaged = 0;
    for (let i = 0; i < 60; i++) {
      const copy = join(directory.path, `flipped-${i}`);
      await cp(path, copy, { recursive: true });
      const changed = Buffer.from(bytes);
      const at = Math.floor(random() * bytes.length);
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      await writeFile(join(copy, log), changed);
      const state = await reopen(copy).catch((error: unknown) => {
        expect(error).toMatchObject({ code: "damaged", message: expect.stringContaining("move the directory away") });
        return undefined;
      });
      // In the last block LevelDB cannot tell it from an end that was never written.
      if (state === undefined) damaged++;
      else expect(states).toContain(state);
    }
    expect(damaged).toBeGreaterThan(10);
  });
});
