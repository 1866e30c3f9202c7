import { mkdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { writeAtomic } from "./atomic-file.ts";
import { acquireLock } from "./lock.ts";
import { messageOf } from "./message.ts";
import { UserError } from "./user-error.ts";

/** Everything that a start keeps: `.kata`, or where `KATA_DATA_DIR` says. */
export interface DataDirectory {
  readonly path: string;
  /** nats-server's store. */
  readonly store: string;
  /** Names the nats-server that runs on the store. */
  readonly natsFile: string;
  /** The secrets of nats-server and the broker. */
  readonly natsSecretsFile: string;
  /** What tools on this machine need to talk to the broker, a key included. */
  readonly devFile: string;
}

/** Makes the directory if it is not there and takes it for as long as this process lives. Throws a UserError if it cannot be had. */
export async function openDataDirectory(name: string): Promise<DataDirectory> {
  const path = resolve(name);
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    // A test of whether it can be written, and a courtesy to whoever keeps the directory inside a repository.
    await writeAtomic(join(path, ".gitignore"), "*\n");
  } catch (error) {
    throw new UserError(
      `the data directory ${path} cannot be written (${messageOf(error)}): correct that, or set KATA_DATA_DIR to another`,
    );
  }
  const lock = await acquireLock(join(path, "start.lock"));
  if (!lock.held) {
    throw new UserError(
      `process ${lock.by.pid} is already running on the data directory ${path}: stop it, or set KATA_DATA_DIR to another`,
    );
  }
  return {
    path,
    store: join(path, "nats"),
    natsFile: join(path, "nats.pid"),
    natsSecretsFile: join(path, "nats-secrets.json"),
    devFile: join(path, "dev.json"),
  };
}

/** The key in the `dev.json` of an earlier start: clients that were given it keep working. */
export async function readDevKey(devFile: string): Promise<string | undefined> {
  try {
    const { apiKey } = JSON.parse(await readFile(devFile, "utf8"));
    return typeof apiKey === "string" && /^kat_live_dev_[A-Za-z0-9]{16,}$/.test(apiKey) ? apiKey : undefined;
  } catch {
    // The first start, or a file that somebody has broken: a new key is made.
    return undefined;
  }
}
