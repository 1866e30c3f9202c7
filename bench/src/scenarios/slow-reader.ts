import { type Herd, startHerd } from "../../../tests/support/herd.ts";
import { watchMemory } from "../../../tests/support/process-usage.ts";
import { BARE, KATA } from "../comparison.ts";
import type { SentRecord } from "../envelopes.ts";
import { feedBare, feedKata, type Pace } from "../feed.ts";
import { type Measured, measure } from "../measure.ts";
import { type Result, summarize } from "../result.ts";
import { CHANNEL, startSides } from "../sides.ts";
import type { Size } from "../size.ts";

const BURST = 50;
const WINDOW = 1_000;
const PROTOCOL = "kata.v1";
const MiB = 1024 * 1024;

interface Observed extends Measured {
  readonly peakBytes: number;
}

/** What one system did in a run: with everybody reading, and with one that has stopped. */
interface Both {
  readonly reading: Observed;
  readonly stopped: Observed;
}

/**
 * Many readers of which one has stopped reading, beside the same with everybody reading. The one reads again at the end and must get everything, too.
 * It is a new connection each time: one that has read much before has the system keep up to 32 MiB for it. Both systems
 * are told to drop nothing and to close nobody.
 */
export async function slowReader({ runs, events, readers }: Size): Promise<Result[]> {
  const settings = { WS_HEARTBEAT_TIMEOUT_MS: "600000", WS_STALL_TIMEOUT_MS: "600000" };
  await using sides = await startSides({ protocol: PROTOCOL, readers: readers - 1, settings });
  const { servers, publisher, kataHerd, bare, bareHerd } = sides;
  const kata: Both[] = [];
  const limit: Both[] = [];
  let from = 0;
  // The first run warms up and is not counted.
  for (let run = 0; run <= runs; run++) {
    const ofKata: Observed[] = [];
    const ofBare: Observed[] = [];
    for (const reads of [true, false]) {
      const start = from;
      let records: readonly SentRecord[] = [];
      const onKata = { apiKey: servers.apiKey, port: servers.port, pid: servers.pid, herd: kataHerd, reads };
      const observed = await withOneMore(onKata, start, events, async (pace) => {
        records = await feedKata(publisher, CHANNEL, pace, start, events);
      });
      ofKata.push(observed);
      const onBare = { ...onKata, port: bare.port, pid: bare.pid, herd: bareHerd };
      ofBare.push(await withOneMore(onBare, start, events, (pace) => feedBare(bare, records, pace, start)));
      from += events;
      await sides.verify(from);
    }
    if (run === 0) continue;
    kata.push(bothOf(ofKata));
    limit.push(bothOf(ofBare));
  }
  return results(kata, limit, readers, events);
}

interface OneMore {
  readonly apiKey: string;
  readonly port: number;
  readonly pid: number;
  /** Those who read. */
  readonly herd: Herd;
  /** Whether the one more does, too. */
  readonly reads: boolean;
}

async function withOneMore(
  { apiKey, port, pid, herd, reads }: OneMore,
  from: number,
  events: number,
  feed: (pace: Pace) => Promise<void>,
): Promise<Observed> {
  await using one = await startHerd({ apiKey, port, protocol: PROTOCOL, channels: [CHANNEL] });
  await one.subscribe({ next: from });
  if (!reads) await one.pause(0);
  const memory = watchMemory(pid);
  const measured = await measure(pid, () => feed({ herd, burst: BURST, window: WINDOW }));
  const peakBytes = await memory.stop();
  if (!reads) await one.resume(0);
  await one.reached(events);
  const status = await one.status();
  if (status.events !== events || status.wrong > 0) throw new Error(`one more: ${JSON.stringify(status)}`);
  return { ...measured, peakBytes };
}

function bothOf([reading, stopped]: readonly Observed[]): Both {
  if (reading === undefined || stopped === undefined) throw new Error("a run has two halves");
  return { reading, stopped };
}

function results(kata: readonly Both[], limit: readonly Both[], readers: number, events: number): Result[] {
  const about = { scenario: "slow-reader", unit: "million/s" };
  const one = { ...about, metric: "deliveries to those who read, one has stopped" };
  const none = { ...about, metric: "deliveries, everybody reads" };
  const rateOfAll = ({ reading }: Both) => (readers * events) / 1e6 / reading.seconds;
  const rateOfOthers = ({ stopped }: Both) => ((readers - 1) * events) / 1e6 / stopped.seconds;
  const kept = (both: Both) => rateOfOthers(both) / rateOfAll(both);
  const growth = ({ reading, stopped }: Both) => (stopped.peakBytes - reading.peakBytes) / MiB;
  const ratio = (of: (kata: Both, bare: Both) => number) => kata.map((each, run) => of(each, limit[run] as Both));
  const memory = { scenario: "slow-reader", metric: "peak memory, one has stopped − everybody reads", unit: "MiB" };
  return [
    summarize({ ...none, system: KATA }, kata.map(rateOfAll)),
    summarize({ ...none, system: BARE }, limit.map(rateOfAll)),
    summarize(
      { ...none, system: "kata / bare", unit: "ratio" },
      ratio((a, b) => rateOfAll(a) / rateOfAll(b)),
    ),
    summarize({ ...one, system: KATA }, kata.map(rateOfOthers)),
    summarize({ ...one, system: BARE }, limit.map(rateOfOthers)),
    summarize(
      { ...one, system: "kata / bare", unit: "ratio" },
      ratio((a, b) => rateOfOthers(a) / rateOfOthers(b)),
    ),
    summarize({ ...about, metric: "one has stopped / everybody reads", system: KATA, unit: "ratio" }, kata.map(kept)),
    summarize({ ...about, metric: "one has stopped / everybody reads", system: BARE, unit: "ratio" }, limit.map(kept)),
    summarize({ ...memory, system: KATA }, kata.map(growth)),
    summarize({ ...memory, system: BARE }, limit.map(growth)),
  ];
}
