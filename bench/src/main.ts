import { parseArgs } from "node:util";
import type { PublishOptions } from "./publish-side.ts";
import { describe, type Result } from "./result.ts";
import { endToEnd } from "./scenarios/end-to-end.ts";
import { fanOut } from "./scenarios/fan-out.ts";
import { publish } from "./scenarios/publish.ts";
import { resume } from "./scenarios/resume.ts";
import { slowReader } from "./scenarios/slow-reader.ts";
import type { Size } from "./size.ts";

interface Scenario {
  /** Events of a run and readers, unless said otherwise. */
  readonly events: number;
  readonly readers: number;
  readonly run: (size: Size, how: How) => Promise<Result[]>;
  /** What else can be said of it. */
  readonly how?: readonly (keyof How)[];
}

type How = PublishOptions;

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  "end-to-end": { run: endToEnd, events: 200_000, readers: 1 },
  "fan-out": { run: fanOut, events: 10_000, readers: 1_000 },
  publish: { run: publish, events: 1_000_000, readers: 1, how: ["sync", "transport"] },
  resume: { run: resume, events: 1_000, readers: 1_000 },
  "slow-reader": { run: slowReader, events: 100_000, readers: 100 },
};

const USAGE = `usage: npm run bench -- <${Object.keys(SCENARIOS).join("|")}> [--json] [--runs 5] [--events <n>] [--readers <n>]
       publish: [--sync <default|always>] [--transport <nats|http>]`;

const options = {
  json: { type: "boolean", default: false },
  runs: { type: "string", default: "5" },
  events: { type: "string" },
  readers: { type: "string" },
  sync: { type: "string" },
  transport: { type: "string" },
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
  const how = howOf(parsed.values, scenario?.how ?? []);
  if (scenario === undefined || how === undefined || !(size.runs >= 1) || !(size.events >= 1) || !(size.readers >= 1)) {
    process.stderr.write(`${USAGE}\n`);
    return 1;
  }
  for (const result of await scenario.run(size, how)) {
    process.stdout.write(`${parsed.values.json ? JSON.stringify(result) : describe(result)}\n`);
  }
  return 0;
}

/** `undefined` for what does not exist, or does not go with the scenario. */
function howOf(values: { sync?: string; transport?: string }, possible: readonly (keyof How)[]): How | undefined {
  const { sync = "default", transport = "nats" } = values;
  if (values.sync !== undefined && !possible.includes("sync")) return undefined;
  if (values.transport !== undefined && !possible.includes("transport")) return undefined;
  if (sync !== "default" && sync !== "always") return undefined;
  if (transport !== "nats" && transport !== "http") return undefined;
  return { sync, transport };
}

process.exitCode = await main();
