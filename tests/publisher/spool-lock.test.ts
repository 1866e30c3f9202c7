import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, symlink } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { openSpool } from "../../publisher-sdk/src/spool-store.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import type { SpoolAnswer, SpoolCommand } from "./spool-process.ts";

const OWNER = { teamId: "t1", stream: "KATA", via: "nats" as const };
const PROCESS = fileURLToPath(new URL("./spool-process.ts", import.meta.url));

/** Whether another process gets the spool: `undefined`, or why not. */
async function openElsewhere(directory: string): Promise<string | undefined> {
  const child = fork(PROCESS, [], { execArgv: ["--conditions=kata-source", "--import", "tsx"] });
  const exited = once(child, "exit");
  try {
    const answered = once(child, "message");
    child.send({ do: "open", directory } satisfies SpoolCommand);
    const [answer] = (await answered) as [SpoolAnswer];
    return answer.error?.code;
  } finally {
    child.kill("SIGKILL");
    await exited;
  }
}

/** By which other names a directory can be opened. */
const NAMES: readonly (readonly [string, (path: string) => Promise<string>])[] = [
  ["a relative path", async (path) => relative(process.cwd(), path)],
  ["a path with a detour", async (path) => `${path}/../spool/`],
  [
    "a symbolic link",
    async (path) => {
      await symlink(path, `${path}-link`);
      return `${path}-link`;
    },
  ],
  [
    "a path through a symbolic link",
    async (path) => {
      await symlink(join(path, ".."), `${path}-parent`);
      return `${path}-parent/spool`;
    },
  ],
];

test.each(NAMES)("one directory, named a second time by %s, is one spool", async (_, rename) => {
  await using directory = await createTempDirectory();
  const path = join(directory.path, "spool");
  const { spool } = await openSpool(path, OWNER);
  const other = await rename(path);
  await expect(openSpool(other, OWNER)).rejects.toMatchObject({ code: "in_use" });
  await spool.close();
  const again = await openSpool(other, OWNER);
  await expect(openSpool(path, OWNER)).rejects.toMatchObject({ code: "in_use" });
  await again.spool.close();
});

test("a second attempt, though refused, does not let another process in", async () => {
  await using directory = await createTempDirectory();
  const path = join(directory.path, "spool");
  const { spool } = await openSpool(path, OWNER);
  await expect(openSpool(path, OWNER)).rejects.toMatchObject({ code: "in_use" });
  expect(await openElsewhere(path)).toBe("in_use");
  await spool.close();
  expect(await openElsewhere(path)).toBeUndefined();
});

test("a directory that could not be opened is not held: it can be, when what was wrong is put right", async () => {
  await using directory = await createTempDirectory();
  const path = join(directory.path, "spool");
  await mkdir(path);
  const first = await openSpool(path, OWNER);
  first.spool.add({ messageId: "a", channel: "agent:a", openedAt: 1 }, "{}");
  await first.spool.close();
  await expect(openSpool(path, { ...OWNER, teamId: "t2" })).rejects.toMatchObject({ code: "foreign" });
  const second = await openSpool(path, OWNER);
  expect(second.left).toHaveLength(1);
  await second.spool.close();
});
