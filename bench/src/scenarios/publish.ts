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
 * How many events are unsettled, and how many come at once. Of one channel a record's worth is on its way and another one fills; of
 * many it takes more until records hold more than a few, still far below what may be queued (64 MiB). More than that keeps more
 * alive for the garbage collector. For the others more than 1,000 makes nothing faster.
 */
const LOADS = {
  kata: (channels: number) => (channels === 1 ? { inFlight: 2_000, burst: 500 } : { inFlight: 10_000, burst: 1_000 }),
  others: { inFlight: 1_000, burst: 100 },
};
/** As many events at once for each channel. */
const BATCH = { one: 500, many: 100 };
const OTHERS: readonly SystemName[] = ["nats.js", "nats.js untraced", "core"];
const MANY = "kata publishMany";
const ALL: readonly SystemName[] = [KATA, MANY, ...OTHERS];
/** Of single events. */
const SINGLE: readonly SystemName[] = [KATA, ...OTHERS];

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
  await using batches = await startPublishing(MANY, target);
  await using natsJs = await startPublishing("nats.js", target);
  await using untraced = await startPublishing("nats.js untraced", target);
  await using core = await startPublishing("core", target);
  const burst = channels.length === 1 ? BATCH.one : BATCH.many * channels.length;
  const observed: Run[] = [];
  // The first run warms up and is not counted.
  for (let run = 0; run <= runs; run++) {
    const ofKata = await runOne(kata, { ...LOADS.kata(channels.length), channels, enough: { events } }, around);
    const asLong = { ...LOADS.others, channels, enough: { seconds: ofKata.seconds } };
    const one = {
      kata: ofKata,
      [MANY]: await runOne(batches, { inFlight: 4 * burst, burst, channels, enough: { events } }, around),
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
    ...([KATA, MANY] as const).flatMap((ours) =>
      OTHERS.map((system) =>
        summarize(
          { ...about("acked", "ratio"), system: `${ours} / ${system}` },
          runs.map((run) => rate(run[ours]) / rate(run[system])),
        ),
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
  // In the order of SINGLE.
  const processes = [kata, natsJs, untraced, core];
  const channels = SINGLE.map((_, i) => `${IDLE_CHANNEL}-${i}`);
  const medians: number[][] = [];
  // The first run warms up and is not counted: one publish a millisecond takes many until everything on its way is compiled.
  for (let run = 0; run <= runs; run++) {
    const turns = run === 0 ? 5 * IDLE_TURNS : IDLE_TURNS;
    const latenciesMs: number[][] = SINGLE.map(() => []);
    for (let turn = 0; turn < turns; turn++) {
      for (let k = 0; k < SINGLE.length; k++) {
        // Who is first changes, lest one always profits from the one before it.
        const which = (turn + k) % SINGLE.length;
        const first = turn * IDLE_ROUNDS * SINGLE.length + which;
        const single = { channel: channels[which] as string, first, step: SINGLE.length, rounds: IDLE_ROUNDS };
        latenciesMs[which]?.push(...((await processes[which]?.idle(single)) ?? []));
      }
    }
    await log.verify(channels, turns * IDLE_ROUNDS * SINGLE.length);
    if (run > 0) medians.push(latenciesMs.map((values) => quantile(values, 0.5) * 1_000));
  }
  const about = { scenario: SCENARIO, metric: "idle, publish() p50" };
  const of = (system: SystemName) => medians.map((values) => values[SINGLE.indexOf(system)] ?? Number.NaN);
  return [
    ...SINGLE.map((system) => summarize({ ...about, system, unit: "µs" }, of(system))),
    ...OTHERS.map((system) => {
      const other = of(system);
      const ratios = of(KATA).map((value, run) => value / (other[run] ?? Number.NaN));
      return summarize({ ...about, system: `kata / ${system}`, unit: "ratio" }, ratios);
    }),
  ];
}
