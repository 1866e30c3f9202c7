import { run } from "../run.ts";
import { compareVersions, MINIMUM_VERSION, parseVersionOutput } from "./version.ts";

/**
 * Runs `<path> --version` and returns the version. Throws an Error whose message says why the file is of no use: it
 * is not there, does not run on this machine, is another program, or is too old.
 */
export async function probeVersion(path: string): Promise<string> {
  const output = await run(path, ["--version"], { timeoutMs: 10_000 });
  const version = parseVersionOutput(output);
  if (version === undefined) throw new Error(`${path} is not a nats-server`);
  if (compareVersions(version, MINIMUM_VERSION) < 0) {
    throw new Error(`${path} is ${version}, older than ${MINIMUM_VERSION}`);
  }
  return version;
}
