import type { Subprotocol } from "../../../tests/support/herd.ts";
import { compareRuns, type Pair } from "../comparison.ts";
import type { SentRecord } from "../envelopes.ts";
import { feedBare, feedKata } from "../feed.ts";
import { measure } from "../measure.ts";
import type { Result } from "../result.ts";
import { CHANNEL, startSides } from "../sides.ts";
import type { Size } from "../size.ts";

const BURST = 50;
const WINDOW = 1_000;

/** One channel and many readers that keep up, beside the bare server giving as many readers the same bytes at the same pace. */
export async function fanOut(size: Size): Promise<Result[]> {
  return [...(await compare("kata.v1", size)), ...(await compare("kata.v1.ndjson", size))];
}

async function compare(protocol: Subprotocol, { runs, events, readers }: Size): Promise<Result[]> {
  await using sides = await startSides({ protocol, readers });
  const { servers, publisher, kataHerd, bare, bareHerd } = sides;
  const pairs: Pair[] = [];
  // The first run warms up and is not counted.
  for (let run = 0; run <= runs; run++) {
    const from = run * events;
    let records: readonly SentRecord[] = [];
    const ofKata = await measure(servers.pid, async () => {
      const pace = { herd: kataHerd, burst: BURST, window: WINDOW };
      records = await feedKata(publisher, CHANNEL, pace, from, events);
    });
    const ofBare = await measure(bare.pid, () =>
      feedBare(bare, records, { herd: bareHerd, burst: BURST, window: WINDOW }, from),
    );
    await sides.verify(from + events);
    if (run > 0) pairs.push({ kata: ofKata, bare: ofBare, deliveries: events * readers });
  }
  return compareRuns("fan-out", protocol, pairs);
}
