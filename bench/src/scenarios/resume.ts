import type { Subprotocol } from "../../../tests/support/herd.ts";
import { compareRuns, type Pair } from "../comparison.ts";
import { feedBare, feedKata, publishHistory } from "../feed.ts";
import { measure } from "../measure.ts";
import type { Result } from "../result.ts";
import { CHANNEL, type Sides, startSides } from "../sides.ts";
import type { Size } from "../size.ts";

/** Events that share records. */
const BURST = 50;

/**
 * Many readers of one channel come back with the same lastEventId and have missed as many events each. Measured from the moment when all are
 * connected and subscribe until the last one is whole: once with everything still in the broker's memory, once with a memory of
 * 64 KiB, so that nearly everything is read from the log. The bare server has the same bytes in memory each time.
 */
export async function resume(size: Size): Promise<Result[]> {
  const results: Result[] = [];
  for (const protocol of ["kata.v1", "kata.v1.ndjson"] as const) {
    results.push(...(await compare("memory", {}, protocol, size)));
    results.push(...(await compare("log", { KATA_RING_BYTES: String(64 * 1024) }, protocol, size)));
  }
  return results;
}

async function compare(
  from: "memory" | "log",
  settings: Readonly<Record<string, string>>,
  protocol: Subprotocol,
  { runs, events, readers }: Size,
): Promise<Result[]> {
  await using sides = await startSides({ protocol, readers, settings });
  await leaveAt(sides);
  const pairs: Pair[] = [];
  // The first run warms up and is not counted.
  for (let run = 0; run <= runs; run++) {
    const pair = await comeBack(sides, 1 + run * events, events);
    await sides.verify(1 + (run + 1) * events);
    if (run > 0) pairs.push({ ...pair, deliveries: events * readers });
  }
  return compareRuns("resume", `${protocol} from ${from}`, pairs);
}

/** Event 0: the place that all come back to first. */
async function leaveAt({ publisher, kataHerd, bare, bareHerd }: Sides): Promise<void> {
  const pace = { burst: 1, window: 1 };
  const records = await feedKata(publisher, CHANNEL, { ...pace, herd: kataHerd }, 0, 1);
  await feedBare(bare, records, { ...pace, herd: bareHerd }, 0);
}

async function comeBack(sides: Sides, from: number, events: number): Promise<Omit<Pair, "deliveries">> {
  const { servers, publisher, kataHerd, bare, bareHerd } = sides;
  await kataHerd.cut();
  const records = await publishHistory(publisher, CHANNEL, BURST, from, events);
  await kataHerd.redial();
  const kata = await measure(servers.pid, () => Promise.all([kataHerd.continue(), kataHerd.reached(from + events)]));
  await bareHerd.cut();
  await bare.forget();
  for (const record of records) await bare.keep(record.bytes);
  await bareHerd.redial();
  const ofBare = await measure(bare.pid, () => Promise.all([bareHerd.continue(), bareHerd.reached(from + events)]));
  return { kata, bare: ofBare };
}
