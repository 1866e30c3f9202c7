import { parseArgs } from "node:util";
import { describe, type Result } from "./result.ts";
import { endToEnd } from "./scenarios/end-to-end.ts";
import { fanOut } from "./scenarios/fan-out.ts";
import { resume } from "./scenarios/resume.ts";
import { slowReader } from "./scenarios/slow-reader.ts";
import type { Size } from "./size.ts";

interface Scenario {
  /** Events of a run and readers, unless said otherwise. */
  readonly events: number;
  readonly readers: number;
  readonly run: (size: Size) => Promise<Result[]>;
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  "end-to-end": { run: endToEnd, events: 200_000, readers: 1 },
  "fan-out": { run: fanOut, events: 10_000, readers: 1_000 },
  resume: { run: resume, events: 1_000, readers: 1_000 },
  "slow-reader": { run: slowReader, events: 100_000, readers: 100 },
};

const USAGE = `usage: npm run bench -- <${Object.keys(SCENARIOS).join("|")}> [--json] [--runs 5] [--events <n>] [--readers <n>]`;

const options = {
  json: { type: "boolean", default: false },
  runs: { type: "string", default: "5" },
  events: { type: "string" },
  readers: { type: "string" },
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
  const { runs, events, readers } = parsed.values;
  const size = {
    runs: Number(runs),
    events: Number(events ?? scenario?.events),
    readers: Number(readers ?? scenario?.readers),
  };
  if (scenario === undefined || !(size.runs >= 1) || !(size.events >= 1) || !(size.readers >= 1)) {
    process.stderr.write(`${USAGE}\n`);
    return 1;
  }
  for (const result of await scenario.run(size)) {
    process.stdout.write(`${parsed.values.json ? JSON.stringify(result) : describe(result)}\n`);
  }
  return 0;
}

process.exitCode = await main();
