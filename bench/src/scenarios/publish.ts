import { parseChannel, STREAM, subjectOf } from "@kata/protocol/wire";
import { jetstreamManager } from "@nats-io/jetstream";
import { connectNats } from "../../../tests/support/nats-connect.ts";
import { cpuSeconds } from "../../../tests/support/process-usage.ts";
import { readLog } from "../../../tests/support/stream.ts";
import { KATA } from "../comparison.ts";
import type { Loaded } from "../publish-load.ts";
import type { SystemName, Target } from "../publish-systems.ts";
import { type PublishingProcess, startPublishing } from "../publishing.ts";
import { quantile, type Result, summarize } from "../result.ts";
import { type Servers, type Sync, startServers } from "../servers.ts";
import type { Size } from "../size.ts";
import { verifyStored } from "../stored-events.ts";

/** How `publish` differs from its default: records flushed to the disk before they are acknowledged, Kata through a broker's HTTP. */
export interface PublishOptions {
  readonly sync: Sync;
  readonly transport: "nats" | "http";
}

const TEAM = "demo";
const SCENARIO = "publish";
/** Turns of each system in a run, and its single publishes in each. */
const IDLE_TURNS = 20;
const IDLE_ROUNDS = 50;
const IDLE_CHANNEL = "agent:bench-idle";

/**
 * Kata gets as many as a service has that reads a log and waits when its publisher falls behind; far below the 64 MiB that it may queue. For the others
 * more than 1,000 makes nothing faster.
 */
const LOADS = { kata: { inFlight: 10_000, burst: 1_000 }, others: { inFlight: 1_000, burst: 100 } };
const OTHERS: readonly SystemName[] = ["nats.js", "nats.js untraced", "core"];
const ALL: readonly SystemName[] = [KATA, ...OTHERS];

/** What a system did in a run. */
interface Observed extends Loaded {
  readonly natsCpuSeconds: number;
  readonly brokerCpuSeconds: number;
}

type Run = Readonly<Record<SystemName, Observed>>;

/**
 * Publishing, without anybody who reads: the SDK beside nats.js, each in a process of its own that publishes events one call at a time,
 * to one channel and to a hundred; then how long a single event takes when nothing else is on its way. After each run the log is
 * read back: every event must be there once, in order, as it was published.
 */
export async function publish({ runs, events }: Size, options: PublishOptions): Promise<Result[]> {
  await using servers = await startServers({}, options.sync);
  const target: Target = {
    url: options.transport === "http" ? servers.httpUrl : servers.natsUrl,
    natsUrl: servers.natsUrl,
    apiKey: servers.apiKey,
    teamId: TEAM,
    stream: STREAM,
  };
  await using log = await openLog(servers);
  const results: Result[] = [];
  for (const count of [1, 100]) {
    const channels = Array.from({ length: count }, (_, i) => `agent:bench-${i}`);
    const what = count === 1 ? "1 channel" : `${count} channels`;
    results.push(...(await underLoad(what, channels, { runs, events, servers, target, log })));
  }
  results.push(...(await whenIdle(runs, target, log)));
  return results;
}

interface Surroundings {
  readonly runs: number;
  readonly events: number;
  readonly servers: Servers;
  readonly target: Target;
  readonly log: Log;
}

async function underLoad(what: string, channels: readonly string[], around: Surroundings): Promise<Result[]> {
  const { runs, events, target } = around;
  await using kata = await startPublishing(KATA, target);
  await using natsJs = await startPublishing("nats.js", target);
  await using untraced = await startPublishing("nats.js untraced", target);
  await using core = await startPublishing("core", target);
  const observed: Run[] = [];
  // The first run warms up and is not counted.
  for (let run = 0; run <= runs; run++) {
    const ofKata = await runOne(kata, { ...LOADS.kata, channels, enough: { events } }, around);
    const asLong = { ...LOADS.others, channels, enough: { seconds: ofKata.seconds } };
    const one = {
      kata: ofKata,
      "nats.js": await runOne(natsJs, asLong, around),
      "nats.js untraced": await runOne(untraced, asLong, around),
      core: await runOne(core, asLong, around),
    };
    if (run > 0) observed.push(one);
  }
  return resultsOf(what, observed, target.url !== target.natsUrl);
}

async function runOne(
  publishing: PublishingProcess,
  load: Parameters<PublishingProcess["load"]>[0],
  { servers, log }: Surroundings,
): Promise<Observed> {
  const cpu = () => ({ nats: cpuSeconds(servers.natsPid), broker: cpuSeconds(servers.pid) });
  const before = cpu();
  const loaded = await publishing.load(load);
  const after = cpu();
  await log.verify(load.channels, loaded.events);
  return { ...loaded, natsCpuSeconds: after.nats - before.nats, brokerCpuSeconds: after.broker - before.broker };
}

interface Log extends AsyncDisposable {
  /** Reads everything back, then empties the log. Rejects unless it holds the events [0, events), dealt out to the channels. */
  verify(channels: readonly string[], events: number): Promise<void>;
}

async function openLog({ brokerNatsUrl }: Servers): Promise<Log> {
  const nc = await connectNats(brokerNatsUrl);
  const { streams } = await jetstreamManager(nc);
  return {
    verify: async (channels, events) => {
      verifyStored(await readLog(nc), channels.map(subjectFor), events);
      await streams.purge(STREAM);
    },
    [Symbol.asyncDispose]: () => nc.close(),
  };
}

function subjectFor(channel: string): string {
  const parsed = parseChannel(channel);
  if (parsed === undefined) throw new TypeError(`${channel} is no channel`);
  return subjectOf(parsed, TEAM);
}

function resultsOf(what: string, runs: readonly Run[], throughBroker: boolean): Result[] {
  const about = (metric: string, unit: string) => ({ scenario: SCENARIO, metric: `${what}, ${metric}`, unit });
  const of = (system: SystemName, value: (observed: Observed) => number) => runs.map((run) => value(run[system]));
  const each = (metric: string, unit: string, value: (observed: Observed) => number) =>
    ALL.map((system) => summarize({ ...about(metric, unit), system }, of(system, value)));
  const rate = ({ events, seconds }: Observed) => events / seconds;
  const perEvent = (seconds: number, { events }: Observed) => (seconds / events) * 1e6;
  return [
    ...each("acked", "events/s", rate),
    ...OTHERS.map((system) =>
      summarize(
        { ...about("acked", "ratio"), system: `kata / ${system}` },
        runs.map((run) => rate(run.kata) / rate(run[system])),
      ),
    ),
    ...each("CPU of the publisher", "µs/event", (observed) => perEvent(observed.cpuSeconds, observed)),
    ...each("CPU of nats-server", "µs/event", (observed) => perEvent(observed.natsCpuSeconds, observed)),
    ...(throughBroker
      ? [
          summarize(
            { ...about("CPU of the broker", "µs/event"), system: KATA },
            of(KATA, (observed) => perEvent(observed.brokerCpuSeconds, observed)),
          ),
        ]
      : []),
    ...each("publish() p50", "ms", ({ latenciesMs }) => quantile(latenciesMs, 0.5)),
    ...each("publish() p99", "ms", ({ latenciesMs }) => quantile(latenciesMs, 0.99)),
  ];
}

/** One publish at a time, by processes that take turns. */
async function whenIdle(runs: number, target: Target, log: Log): Promise<Result[]> {
  await using kata = await startPublishing(KATA, target);
  await using natsJs = await startPublishing("nats.js", target);
  await using untraced = await startPublishing("nats.js untraced", target);
  await using core = await startPublishing("core", target);
  // In the order of ALL.
  const processes = [kata, natsJs, untraced, core];
  const channels = ALL.map((_, i) => `${IDLE_CHANNEL}-${i}`);
  const medians: number[][] = [];
  // The first run warms up and is not counted: one publish a millisecond takes many until everything on its way is compiled.
  for (let run = 0; run <= runs; run++) {
    const turns = run === 0 ? 5 * IDLE_TURNS : IDLE_TURNS;
    const latenciesMs: number[][] = ALL.map(() => []);
    for (let turn = 0; turn < turns; turn++) {
      for (let k = 0; k < ALL.length; k++) {
        // Who is first changes, lest one always profits from the one before it.
        const which = (turn + k) % ALL.length;
        const first = turn * IDLE_ROUNDS * ALL.length + which;
        const single = { channel: channels[which] as string, first, step: ALL.length, rounds: IDLE_ROUNDS };
        latenciesMs[which]?.push(...((await processes[which]?.idle(single)) ?? []));
      }
    }
    await log.verify(channels, turns * IDLE_ROUNDS * ALL.length);
    if (run > 0) medians.push(latenciesMs.map((values) => quantile(values, 0.5) * 1_000));
  }
  const about = { scenario: SCENARIO, metric: "idle, publish() p50" };
  const of = (system: SystemName) => medians.map((values) => values[ALL.indexOf(system)] ?? Number.NaN);
  return [
    ...ALL.map((system) => summarize({ ...about, system, unit: "µs" }, of(system))),
    ...OTHERS.map((system) => {
      const other = of(system);
      const ratios = of(KATA).map((value, run) => value / (other[run] ?? Number.NaN));
      return summarize({ ...about, system: `kata / ${system}`, unit: "ratio" }, ratios);
    }),
  ];
}
