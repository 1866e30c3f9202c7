import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const here = dirname(fileURLToPath(import.meta.url));
const run = promisify(execFile);

/** Imports that are left when types are gone; with verbatimModuleSyntax that can be read from the text. */
const IMPORT = /^(?:import|export)(?!\s+type\b)[^;"]*?\bfrom\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\(\s*"([^"]+)"/gm;

async function reach(file: string, seen: Set<string>, outside: Set<string>): Promise<void> {
  if (seen.has(file)) return;
  seen.add(file);
  for (const match of (await readFile(file, "utf8")).matchAll(IMPORT)) {
    const target = match[1] ?? match[2] ?? match[3] ?? "";
    if (target.startsWith(".")) await reach(join(dirname(file), target), seen, outside);
    else outside.add(target);
  }
}

test("at run time nothing is reached but this package and the protocol's wire part: no zod, no module of Node", async () => {
  const files = new Set<string>();
  const outside = new Set<string>();
  await reach(join(here, "index.ts"), files, outside);
  expect([...outside]).toEqual(["@kata/protocol/wire"]);
  expect(files.size).toBeGreaterThan(15);
  for (const file of files) expect(relative(here, file)).not.toMatch(/testing|\.test\./);

  const wire = join(dirname(createRequire(import.meta.url).resolve("@kata/protocol/package.json")), "src/wire.ts");
  const beyond = new Set<string>();
  await reach(wire, new Set(), beyond);
  expect([...beyond]).toEqual([]);
});

test("it runs on a host that has a WebSocket and timers and nothing else, and leaves the process free to end", async () => {
  const script = join(here, "testing/bare-host.ts");
  const args = ["--conditions=kata-source", "--import", "tsx", script];
  const { stdout } = await run(process.execPath, args, { timeout: 20_000 });
  expect(stdout).toBe("connecting WebSocket\nclosed\nconnecting\n");
});
