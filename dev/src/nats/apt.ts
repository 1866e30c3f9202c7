import { access, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../message.ts";
import { run } from "../run.ts";
import { type AptSource, debianMirrors, parseDeb822, parseOneLine } from "./apt-sources.ts";

// Debian's development suite: the stable release's own nats-server is too old.
const SUITE = "sid";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const TIMEOUT_MS = 120_000;

/**
 * Downloads Debian's own nats-server package through apt, which checks its signatures, unpacks it inside `directory` and
 * returns the program's path. Needs no root and leaves the system as it is: sources, lists and cache are private
 * to `directory`; nothing is installed. Throws with one line where the system is not Debian or has no such package.
 */
export async function fetchDebianPackage(directory: string): Promise<string> {
  if (process.platform !== "linux") throw new Error(`not on ${process.platform}`);
  const mirrors = debianMirrors(await systemSources(), await codename());
  if (mirrors.length === 0) throw new Error("apt has no source here that is a mirror of Debian");
  await access(KEYRING).catch(() => {
    throw new Error(`${KEYRING} is missing, so nothing could vouch for the package`);
  });
  const settings = await systemSettings();
  let failure: unknown;
  for (const [index, mirror] of mirrors.slice(0, 2).entries()) {
    try {
      return await fetchFrom(mirror, join(directory, `apt-${index}`), settings);
    } catch (error) {
      failure = error;
    }
  }
  throw new Error(messageOf(failure));
}

async function fetchFrom(mirror: string, directory: string, settings: string): Promise<string> {
  await mkdir(join(directory, "lists", "partial"), { recursive: true });
  await mkdir(join(directory, "cache", "archives", "partial"), { recursive: true });
  await writeFile(join(directory, "sources.list"), `deb [signed-by=${KEYRING}] ${mirror} ${SUITE} main\n`);
  const configuration = join(directory, "apt.conf");
  await writeFile(configuration, aptConfiguration(directory, settings));
  const options = {
    cwd: directory,
    timeoutMs: TIMEOUT_MS,
    env: { ...process.env, LC_ALL: "C", APT_CONFIG: configuration },
  };
  await run("apt-get", ["update", "-qq"], options);
  await run("apt-get", ["download", "-qq", "nats-server"], options);
  const file = (await readdir(directory)).find((name) => name.endsWith(".deb"));
  if (file === undefined) throw new Error(`apt-get downloaded no package from ${mirror}`);
  await run("dpkg-deb", ["-x", file, "package"], options);
  return join(directory, "package", "usr", "sbin", "nats-server");
}

function aptConfiguration(directory: string, settings: string): string {
  return [
    settings,
    // The machine's own files are not read again: their hooks (Post-Invoke) would act on the system.
    'Dir::Etc::parts "/dev/null";',
    'Dir::Etc::main "/dev/null";',
    `Dir::Etc::sourcelist "${directory}/sources.list";`,
    'Dir::Etc::sourceparts "-";',
    'Dir::Etc::preferences "/dev/null";',
    'Dir::Etc::preferencesparts "-";',
    `Dir::State::lists "${directory}/lists";`,
    'Dir::State::status "/dev/null";',
    `Dir::Cache "${directory}/cache";`,
    'Acquire::Languages "none";',
    'Acquire::Retries "2";',
    // root would otherwise download as the user _apt, who may not write here.
    ...(process.getuid?.() === 0 ? ['APT::Sandbox::User "root";'] : []),
    "",
  ].join("\n");
}

/** How this machine reaches its mirrors (proxies, certificates, timeouts). */
async function systemSettings(): Promise<string> {
  const dump = await run("apt-config", ["dump"], { timeoutMs: 10_000 });
  return dump
    .split("\n")
    .filter((line) => line.startsWith("Acquire::"))
    .join("\n");
}

async function systemSources(): Promise<AptSource[]> {
  const parts = "/etc/apt/sources.list.d";
  const files = (await readdir(parts).catch(() => [])).sort().map((name) => join(parts, name));
  const sources: AptSource[] = [];
  for (const file of ["/etc/apt/sources.list", ...files]) {
    const text = await readFile(file, "utf8").catch(() => "");
    if (file.endsWith(".sources")) sources.push(...parseDeb822(text));
    else if (file.endsWith(".list")) sources.push(...parseOneLine(text));
  }
  return sources;
}

async function codename(): Promise<string> {
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  return /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(release)?.[1] ?? "sid";
}
