import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** What a place in the tree may import: folders of the tree (its own is always allowed), and packages. */
interface Rule {
  readonly place: string;
  readonly folders: readonly string[];
  readonly packages: readonly RegExp[];
}

const NODE = /^node:/;
const WIRE = /^@kata\/protocol\/wire$/;
const PROTOCOL = /^@kata\/protocol(\/wire)?$/;
const NATS = /^@nats-io\//;

// The first rule whose place holds the file counts.
const RULES: readonly Rule[] = [
  { place: "protocol/src", folders: [], packages: [/^zod$/] },
  { place: "publisher-sdk/src", folders: [], packages: [WIRE, NATS, NODE, /^classic-level$/] },
  { place: "client-sdk/src", folders: [], packages: [WIRE] },
  { place: "broker/src/log", folders: [], packages: [WIRE, NATS, NODE] },
  { place: "broker/src/delivery", folders: ["broker/src/log"], packages: [WIRE, NODE] },
  { place: "broker/src/store", folders: [], packages: [NATS, NODE] },
  { place: "broker/src/auth", folders: ["broker/src/store"], packages: [WIRE, NODE, /^(jose|zod)$/] },
  // How much of something comes at a time, and from whom: the same at every entrance.
  { place: "broker/src/limits", folders: [], packages: [NODE] },
  {
    place: "broker/src/callout",
    folders: ["broker/src/auth", "broker/src/limits", "broker/src/logger.ts"],
    packages: [WIRE, NATS, NODE, /^tweetnacl$/],
  },
  {
    place: "broker/src/server",
    folders: [
      "broker/src/delivery",
      "broker/src/log",
      "broker/src/auth",
      "broker/src/limits",
      "broker/src/store/bucket.ts",
      "broker/src/config.ts",
      "broker/src/logger.ts",
      "broker/src/event-input.ts",
    ],
    packages: [PROTOCOL, NODE, /^uWebSockets\.js$/, /^zod$/],
  },
  {
    place: "broker/src/cli",
    // Keys and channels can be kept in NATS itself, without a broker.
    folders: [
      "broker/src/event-input.ts",
      "broker/src/auth",
      "broker/src/store",
      "broker/src/log/connect.ts",
      "broker/src/callout/nats-secrets.ts",
    ],
    packages: [PROTOCOL, NODE, /^@kata\/(publisher|realtime-client)$/, /^(commander|ws|zod)$/],
  },
  {
    place: "broker/src",
    folders: ["broker/src"],
    packages: [PROTOCOL, NODE, /^@kata\/publisher$/, /^(zod|pino|prom-client)$/],
  },
];

function sourcesOf(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((file) => join(folder, file))
    .filter(
      (file) =>
        file.endsWith(".ts") && !file.endsWith(".test.ts") && !file.endsWith(".d.ts") && !/test-|testing/.test(file),
    );
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  return [
    ...text.matchAll(/^\s*(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"|\bimport\("([^"]+)"\)|^import\s+"([^"]+)"/gm),
  ].map((match) => (match[1] ?? match[2] ?? match[3]) as string);
}

function offences(): string[] {
  const found: string[] = [];
  for (const source of ["protocol/src", "publisher-sdk/src", "client-sdk/src", "broker/src"]) {
    for (const file of sourcesOf(source)) {
      const rule = RULES.find(({ place }) => file.startsWith(`${place}/`));
      if (rule === undefined) throw new Error(`no rule for ${file}`);
      for (const imported of importsOf(file)) {
        const allowed = imported.startsWith(".")
          ? [rule.place, ...rule.folders].some((folder) =>
              isWithin(relative(root, resolve(root, dirname(file), imported)), folder),
            )
          : rule.packages.some((name) => name.test(imported));
        if (!allowed) found.push(`${file} imports ${imported}`);
      }
    }
  }
  return found;
}

function isWithin(file: string, place: string): boolean {
  return file === place || file.startsWith(`${place}/`);
}

describe("imports go one way", () => {
  it("apps → client-sdk → protocol; broker → publisher-sdk → protocol; server → delivery → log", () => {
    expect(offences()).toEqual([]);
  });

  it("and the check sees them", () => {
    expect(importsOf("broker/src/delivery/channels.ts")).toContain("../log/event-log.ts");
    expect(importsOf("broker/src/delivery/channel-record.ts")).toContain("node:buffer");
  });

  it("only broker.ts knows everybody, and nobody but the entrances knows broker.ts", () => {
    const importers = sourcesOf("broker/src").filter((file) =>
      importsOf(file).some((name) => /(^|\/)broker\.ts$/.test(name)),
    );
    expect(importers.sort()).toEqual(["broker/src/index.ts", "broker/src/main.ts"]);
  });
});
