import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import { listen } from "./listen.ts";
import { natsPid, startKata } from "./start-process.ts";

/** Starts it, and expects one line on stderr, exit code 1 and nothing left running. */
async function expectRefusal(dataDirectory: string, env: NodeJS.ProcessEnv, line: RegExp): Promise<void> {
  await using start = await startKata({ dataDirectory, env });
  expect(await start.ended).toBe(1);
  expect(start.stderr()).toMatch(/^kata: [^\n]+\n$/);
  expect(start.stderr()).toMatch(line);
  expect(start.stderr()).not.toMatch(/\n\s+at /);
  expect(await natsPid(dataDirectory)).toBeUndefined();
}

test("the broker's port is taken", async () => {
  await using directory = await createTempDirectory();
  await using other = await listen();
  await expectRefusal(directory.path, { KATA_PORT: String(other.port) }, /taken.*KATA_PORT/);
});

test("nats-server's port is taken", async () => {
  await using directory = await createTempDirectory();
  await using other = await listen();
  const line = new RegExp(`port ${other.port}.*taken.*KATA_NATS_PORT.*NATS_URL=nats://127\\.0\\.0\\.1:${other.port}`);
  await expectRefusal(directory.path, { KATA_NATS_PORT: String(other.port) }, line);
});

test.each([
  ["KATA_PORT", "eighty"],
  ["KATA_NATS_PORT", "70000"],
])("a bad variable: %s=%s", async (name, value) => {
  await using directory = await createTempDirectory();
  await expectRefusal(directory.path, { [name]: value }, new RegExp(name));
});

test("the NATS of NATS_URL is not there", async () => {
  await using directory = await createTempDirectory();
  const url = `nats://127.0.0.1:${await freePort()}`;
  await expectRefusal(directory.path, { NATS_URL: url }, new RegExp(`NATS at ${url}.*refused.*NATS_URL`));
});

test("NATS_SERVER_BIN is of no use", async () => {
  await using directory = await createTempDirectory();
  await expectRefusal(directory.path, { NATS_SERVER_BIN: process.execPath }, /NATS_SERVER_BIN.*is not a nats-server/);
});

test("the data directory cannot be written", async () => {
  await using directory = await createTempDirectory();
  const file = join(directory.path, "file");
  await writeFile(file, "");
  await expectRefusal(join(file, "data"), {}, /data directory .*file\/data cannot be written.*KATA_DATA_DIR/);
});

test("another start is on the data directory, and is not disturbed", async () => {
  await using directory = await createTempDirectory();
  await using first = await startKata({ dataDirectory: directory.path });
  await first.running;
  await using second = await startKata({ dataDirectory: directory.path });
  expect(await second.ended).toBe(1);
  expect(second.stderr()).toMatch(
    new RegExp(`^kata: process ${first.pid} is already running on the data directory .*KATA_DATA_DIR[^\\n]*\\n$`),
  );
  first.signal("SIGTERM");
  expect(await first.ended).toBe(0);
});
