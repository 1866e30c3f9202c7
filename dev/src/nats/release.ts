import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { run } from "../run.ts";
import { DOWNLOAD_LIMITS, type DownloadLimits, downloadFile, downloadText } from "./download.ts";

/** The version that is fetched where none is found. */
export const RELEASE_VERSION = "2.15.1";

/** Where the nats-server project publishes its releases. */
export const RELEASE_BASE_URL = "https://github.com/nats-io/nats-server/releases/download";

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
const SYSTEMS: readonly string[] = ["linux", "darwin"];

/** What the release calls the build for this machine, without its ending. Throws where there is none that we can unpack. */
export function releaseName(platform: string = process.platform, architecture: string = process.arch): string {
  const arch = ARCHITECTURES[architecture];
  if (arch === undefined || !SYSTEMS.includes(platform)) {
    throw new Error(`no archive for ${platform} ${architecture}; install nats-server and put it on the PATH`);
  }
  return `nats-server-v${RELEASE_VERSION}-${platform}-${arch}`;
}

/**
 * Downloads the release archive into `directory`, checks it against the release's SHA256SUMS, unpacks it and returns the
 * program's path. The sums come from the same place as the archive: they find a damaged download, and their transport (TLS) is
 * what vouches for both.
 */
export async function fetchRelease(
  directory: string,
  baseUrl = RELEASE_BASE_URL,
  limits: DownloadLimits = DOWNLOAD_LIMITS,
): Promise<string> {
  const name = releaseName();
  const archive = `${name}.tar.gz`;
  const place = `${baseUrl.replace(/\/+$/, "")}/v${RELEASE_VERSION}`;
  const wanted = findSum(await downloadText(`${place}/SHA256SUMS`, limits), archive);
  if (wanted === undefined) throw new Error(`${place}/SHA256SUMS does not name ${archive}`);
  const file = join(directory, archive);
  await downloadFile(`${place}/${archive}`, file, limits);
  const actual = await sha256(file);
  if (actual !== wanted) throw new Error(`${archive} has the checksum ${actual}, the release says ${wanted}`);
  await run("tar", ["-xzf", archive, `${name}/nats-server`], { cwd: directory, timeoutMs: 60_000 });
  return join(directory, name, "nats-server");
}

function findSum(sums: string, file: string): string | undefined {
  for (const line of sums.split("\n")) {
    const [sum, name] = line.trim().split(/\s+\*?/);
    if (name === file && sum !== undefined && /^[0-9a-f]{64}$/i.test(sum)) return sum.toLowerCase();
  }
  return undefined;
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
