import { appendFile, mkdir, rename, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startNats } from "../support/nats.ts";
import { ensureTestStream } from "../support/stream.ts";
import { CHANNEL, eventually, kata, messagesOf, publishing, tempDirectory } from "./rig.ts";

describe("kata publish --follow FILE", () => {
  it("publishes what is there and what is appended, waits for the rest of a line, and on SIGINT publishes all and ends", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using directory = await tempDirectory();
    const file = join(directory.path, "build.log");
    await writeFile(file, "one\ntwo\nthr");
    await using publish = kata(["publish", CHANNEL, "--follow", file], publishing(nats));
    await eventually(() => messagesOf(nats)).toEqual(["one", "two"]);
    await appendFile(file, "ee\nfour\r\n");
    await eventually(() => messagesOf(nats)).toEqual(["one", "two", "three", "four\r"]);
    // Written just before the signal: it is part of the file when the signal comes.
    await appendFile(file, "five\nsix");
    publish.child.kill("SIGINT");
    expect(await publish.ended).toMatchObject({ code: 0, stdout: "", stderr: "kata: 6 lines published\n" });
    expect(await messagesOf(nats)).toEqual(["one", "two", "three", "four\r", "five", "six"]);
  });

  it("reads on in the file that takes its place, after the rest of the old one, and from the start of one that was cut", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using directory = await tempDirectory();
    const file = join(directory.path, "build.log");
    await writeFile(file, "old 1\nold 2\n");
    await using publish = kata(["publish", CHANNEL, "--follow", file], publishing(nats));
    await eventually(() => messagesOf(nats)).toHaveLength(2);
    await appendFile(file, "old 3");
    await rename(file, `${file}.1`);
    await writeFile(file, "new 1 which is longer than all of the old one\n");
    await eventually(() => messagesOf(nats)).toHaveLength(4);
    await truncate(file, 0);
    // Seen as shorter, whenever it is looked at.
    await appendFile(file, "cut 1\n");
    await eventually(() => messagesOf(nats)).toHaveLength(5);
    publish.child.kill("SIGTERM");
    expect(await publish.ended).toMatchObject({ code: 0 });
    expect(await messagesOf(nats)).toEqual([
      "old 1",
      "old 2",
      "old 3",
      "new 1 which is longer than all of the old one",
      "cut 1",
    ]);
  });

  it("a file that is missing, or is none, is one line and exit code 1", async () => {
    await using nats = await startNats();
    await using directory = await tempDirectory();
    const missing = join(directory.path, "missing.log");
    const folder = join(directory.path, "folder");
    await mkdir(folder);
    for (const [path, line] of [
      [missing, `kata: there is no file ${missing}: name one that exists, or - for stdin\n`],
      [folder, `kata: ${folder} is no file: name one, or - for stdin\n`],
    ] as const) {
      await using publish = kata(["publish", CHANNEL, "--follow", path], publishing(nats));
      expect(await publish.ended).toMatchObject({ code: 1, stdout: "", stderr: line });
    }
  });
});
