import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Clauses that say what is not promised: there is nothing to prove. */
const NOTHING_TO_PROVE = ["ORDER-2"];

function clauses(): string[] {
  const text = readFileSync(join(root, "protocol/PROTOCOL.md"), "utf8");
  return [...text.matchAll(/\*\*\[([A-Z]+-\d+)\]\*\*/g)].map((match) => match[1] as string);
}

function namedInTests(): Set<string> {
  const named = new Set<string>();
  for (const folder of ["tests", "protocol/src", "broker/src", "publisher-sdk/src", "client-sdk/src"]) {
    for (const file of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".test.ts")) continue;
      const text = readFileSync(join(root, folder, file), "utf8");
      for (const match of text.matchAll(/\[([A-Z]+-\d+)\]/g)) named.add(match[1] as string);
    }
  }
  return named;
}

describe("PROTOCOL.md", () => {
  it("has each clause once, and each is named by a test", () => {
    const all = clauses();
    const named = namedInTests();
    expect(all.length).toBeGreaterThan(50);
    expect(all).toEqual([...new Set(all)]);
    expect(all.filter((clause) => !named.has(clause) && !NOTHING_TO_PROVE.includes(clause))).toEqual([]);
    expect([...named].filter((clause) => !all.includes(clause))).toEqual([]);
  });
});
