import { parseArgs } from "node:util";
import { describe, type Result } from "./result.ts";
import { endToEnd } from "./scenarios/end-to-end.ts";

const SCENARIOS: Readonly<Record<string, (size: { runs: number; events: number }) => Promise<Result[]>>> = {
  "end-to-end": endToEnd,
};

const USAGE = `usage: npm run bench -- <${Object.keys(SCENARIOS).join("|")}> [--json] [--runs 5] [--events 200000]`;

const options = {
  json: { type: "boolean", default: false },
  runs: { type: "string", default: "5" },
  events: { type: "string", default: "200000" },
} as const;

async function main(): Promise<number> {
  let parsed: ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>>;
  try {
    parsed = parseArgs({ options, allowPositionals: true });
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`);
    return 1;
  }
  const scenario = SCENARIOS[parsed.positionals[0] ?? ""];
  const size = { runs: Number(parsed.values.runs), events: Number(parsed.values.events) };
  if (scenario === undefined || !(size.runs >= 1) || !(size.events >= 1)) {
    process.stderr.write(`${USAGE}\n`);
    return 1;
  }
  for (const result of await scenario(size)) {
    process.stdout.write(`${parsed.values.json ? JSON.stringify(result) : describe(result)}\n`);
  }
  return 0;
}

process.exitCode = await main();
