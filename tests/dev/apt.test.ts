import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { expect, test } from "vitest";
import { fetchDebianPackage } from "../../dev/src/nats/apt.ts";
import { debianMirrors, parseDeb822, parseOneLine } from "../../dev/src/nats/apt-sources.ts";
import { probeVersion } from "../../dev/src/nats/probe.ts";
import { createTempDirectory } from "../support/temp-directory.ts";

test("the mirror is Debian's own, not its security archive's, a third party's or a disabled one", () => {
  const sources = parseDeb822(`Types: deb deb-src
# a comment
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://packages.test/tool
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/tool.gpg

Types: deb
Enabled: no
URIs: http://old.test/debian
Suites: bookworm
Components: main

Types: deb
URIs:
 http://mirror.test/debian
 http://second.test/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`);
  expect(debianMirrors(sources, "bookworm")).toEqual(["http://mirror.test/debian", "http://second.test/debian/"]);
});

test("the one-line form is read too, and what ends in /debian goes first", () => {
  const sources = parseOneLine(`# deb http://comment.test/debian bookworm main
deb http://other.test/apt stable main
deb-src http://mirror.test/debian bookworm main
deb http://security.test/debian-security bookworm-security main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.test/debian bookworm main # ours
deb [signed-by=/etc/keyrings/tool.gpg] http://tool.test/debian bookworm main
deb http://cloud.test/apt cloud-sdk-bookworm main
`);
  expect(debianMirrors(sources, "bookworm")).toEqual(["http://mirror.test/debian", "http://other.test/apt"]);
});

const APT = "/usr/bin/apt-get";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const NO_NETWORK = /could not resolve|temporary failure|could not connect|unable to connect|network is unreachable/i;
const missing = [APT, KEYRING].filter((path) => !existsSync(path));

test.skipIf(missing.length > 0)(
  `the distribution's package is fetched and runs, and the system is as before${missing.length > 0 ? ` (skipped: no ${missing.join(", no ")})` : ""}`,
  async ({ skip }) => {
    await using directory = await createTempDirectory();
    const lists = await readdir("/var/lib/apt/lists");
    const archives = await readdir("/var/cache/apt/archives").catch(() => []);
    const path = await fetchDebianPackage(directory.path).catch((error: unknown) => {
      if (NO_NETWORK.test(String(error))) return skip(`no network: ${error}`);
      throw error;
    });
    expect(path.startsWith(directory.path)).toBe(true);
    expect(await probeVersion(path)).toMatch(/^2\.\d+\.\d+/);
    expect(await readdir("/var/lib/apt/lists")).toEqual(lists);
    expect(await readdir("/var/cache/apt/archives").catch(() => [])).toEqual(archives);
  },
);
