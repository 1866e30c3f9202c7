import { KATA } from "../comparison.ts";
import { type Observed, openLog, openSide, type PublishOptions, type Side, targetOf } from "../publish-side.ts";
import type { SystemName } from "../publish-systems.ts";
import { startPublishing } from "../publishing.ts";
import { quantile, type Result, summarize } from "../result.ts";
import { startServers } from "../servers.ts";
import type { Size } from "../size.ts";

const SCENARIO = "publish";
/** Turns of each system in a run, and its single publishes in each. */
const IDLE_TURNS = 20;
const IDLE_ROUNDS = 50;
/** How many runs come before those that count. */
const WARM_UP = { load: 2, idle: 10 };
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

type Run = Readonly<Record<SystemName, Observed>>;

/**
 * Publishing, without anybody who reads: the SDK beside nats.js, to one channel and to a hundred, each with servers of its own and in a
 * process of its own, which publishes events one call at a time; then how long a single event takes when nothing else is on its
 * way. After each run the log is read back: every event must be there once, in order, as it was published.
 */
export async function publish(size: Size, options: PublishOptions): Promise<Result[]> {
  const results: Result[] = [];
  for (const count of [1, 100]) {
    const channels = Array.from({ length: count }, (_, i) => `agent:bench-${i}`);
    results.push(...(await underLoad(count === 1 ? "1 channel" : `${count} channels`, channels, size, options)));
  }
  results.push(...(await whenIdle(size.runs, options)));
  return results;
}

/** The systems take turns, so that each run of one has a run of each other right beside it. */
async function underLoad(
  what: string,
  channels: readonly string[],
  { runs, events }: Size,
  options: PublishOptions,
): Promise<Result[]> {
  await using kata = await openSide(KATA, options);
  await using batches = await openSide(MANY, options);
  await using natsJs = await openSide("nats.js", options);
  await using untraced = await openSide("nats.js untraced", options);
  await using core = await openSide("core", options);
  const burst = channels.length === 1 ? BATCH.one : BATCH.many * channels.length;
  const observed: Run[] = [];
  // Not counted: a few seconds at full speed, until code is compiled and heaps have grown.
  for (let run = 0; run < WARM_UP.load + runs; run++) {
    const ofKata = await kata.run({ ...LOADS.kata(channels.length), channels, enough: { events } });
    const asLong = (side: Side) => side.run({ ...LOADS.others, channels, enough: { seconds: ofKata.seconds } });
    const one = {
      kata: ofKata,
      [MANY]: await batches.run({ inFlight: 4 * burst, burst, channels, enough: { events } }),
      "nats.js": await asLong(natsJs),
      "nats.js untraced": await asLong(untraced),
      core: await asLong(core),
    };
    if (run >= WARM_UP.load) observed.push(one);
  }
  return resultsOf(what, observed, options.transport === "http");
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

/** One publish at a time, by processes that take turns with one server: what it takes is most of the time. */
async function whenIdle(runs: number, options: PublishOptions): Promise<Result[]> {
  await using servers = await startServers({}, options.sync);
  await using log = await openLog(servers);
  const target = targetOf(servers, options);
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
    const turns = run === 0 ? WARM_UP.idle * IDLE_TURNS : IDLE_TURNS;
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
