import { createHash } from "node:crypto";
import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { linesOf } from "../../broker/src/cli/stretch.ts";
import { kata, kataInShell, publishing, reading } from "../cli/rig.ts";
import { spawnBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { seededRandom } from "../support/random.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import { linesPrinted } from "./printed-lines.ts";
import { bytesWritten, rotationsOf, startTalkativeNats } from "./talkative-nats.ts";

const LONG = process.env.KATA_TEST_LONG === "1";
const LINES = LONG ? 1_000_000 : 50_000;
/** A megabyte is written in less than the time between two looks at the file. */
const ROTATE_BYTES = LONG ? 8_000_000 : 1_000_000;
const CHANNEL = "agent:nats";
const TAIL = ["tail", CHANNEL, "--json", "--rewind", "all", "--until-end"];

describe("a real log, through kata publish --follow and out of kata tail --json", () => {
  it(`${LINES} lines of a nats-server that rotates its log while it is followed, byte for byte, in order`, {
    timeout: LONG ? 600_000 : 120_000,
  }, async () => {
    await using nats = await startNats();
    await using broker = await spawnBroker({ nats });
    await using directory = await createTempDirectory();
    await using talkative = await startTalkativeNats(directory.path, ROTATE_BYTES);
    const state = join(directory.path, "state.json");
    const args = ["publish", CHANNEL, "--follow", talkative.logFile, "--state", state, "--end"];
    await using publish = kata(args, publishing(nats));
    const out = join(directory.path, "printed.ndjson");
    await using tail = kataInShell('"$@" > "$OUT"', TAIL, { ...reading(broker), OUT: out });
    // From here on the file is followed.
    await expect.poll(() => stat(state).catch(() => undefined), { interval: 10, timeout: 20_000 }).toBeDefined();
    await talkative.talk(LINES);
    await talkative.stop();
    publish.child.kill("SIGTERM");
    const published = await publish.ended;
    expect(published.code).toBe(0);
    expect(await tail.ended).toMatchObject({ code: 0, stderr: "" });
    const lines = await expectSame(bytesWritten(talkative.logFile), out);
    expect(lines).toBeGreaterThanOrEqual(LINES);
    // While it ends it may say that it waits for the log; nothing was not published, or gone.
    expect(published.stderr).toMatch(new RegExp(`^(kata: waiting for .+\n)?kata: ${lines} lines published\n$`));
    // Without a rotation it would have proved less.
    expect(await rotationsOf(talkative.logFile)).toBeGreaterThanOrEqual(LONG ? 10 : 4);
  });

  it("bytes that are no text at all: a program's own, and random ones", { timeout: 120_000 }, async () => {
    const random = seededRandom();
    await using nats = await startNats();
    await using broker = await spawnBroker({ nats });
    await using directory = await createTempDirectory();
    const out = join(directory.path, "printed.ndjson");
    const noise = Buffer.from(Uint8Array.from({ length: LONG ? 10_000_000 : 500_000 }, () => random() * 256));
    const bytes = Buffer.concat([await ownProgram(LONG ? 50_000_000 : 2_000_000), noise, Buffer.from("\n\n\r\nlast")]);
    await using publish = kata(["publish", CHANNEL, "--follow", "-", "--end"], publishing(nats));
    publish.child.stdin.end(bytes);
    expect(await publish.ended).toMatchObject({ code: 0 });
    await using tail = kataInShell('"$@" > "$OUT"', TAIL, { ...reading(broker), OUT: out });
    expect(await tail.ended).toMatchObject({ code: 0, stderr: "" });
    await expectSame([Buffer.concat([bytes, Buffer.from("\n")])], out);
  });
});

/** @returns how many lines they are */
async function expectSame(written: AsyncIterable<Buffer> | Iterable<Buffer>, out: string): Promise<number> {
  const expected = createHash("sha256");
  const printed = createHash("sha256");
  const actual = linesPrinted(out);
  let lines = 0;
  for await (const bytes of written) {
    expected.update(bytes);
    for (const line of linesOf(bytes)) {
      lines++;
      const { value } = await actual.next();
      // Compared here for a message that says where; a million assertions would take minutes.
      if (!(value instanceof Buffer && value.equals(line))) {
        expect({ line: lines, text: String(value) }).toEqual({ line: lines, text: String(line) });
        expect({ line: lines, value }).toEqual({ line: lines, value: line });
      }
      printed.update(value as Buffer).update("\n");
    }
  }
  expect((await actual.next()).done).toBe(true);
  expect(printed.digest("hex")).toBe(expected.digest("hex"));
  return lines;
}

/** The beginning of the program that runs this. */
async function ownProgram(length: number): Promise<Buffer> {
  const file = await open(process.execPath);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
