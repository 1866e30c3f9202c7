import { expect, it } from "vitest";
import type { EventLog, LogPage, PageRequest } from "../../broker/src/log/event-log.ts";
import { MemoryLog } from "../../broker/src/testing/memory-log.ts";
import { type Random, REPEAT, seededRandom } from "../support/random.ts";
import { eventually, NEVER, OTHERS, plain, SUBJECT } from "./contract.ts";
import { createJetStreamRig } from "./jetstream-rig.ts";

// What delivery's tests conclude from the log in memory is true as far as that log is like the real one.

const SUBJECTS = [SUBJECT, ...OTHERS, NEVER];
const HISTORIES = 4 * REPEAT;
const STEPS = 400;
/** What a record counts in bytes, its subject included, is a multiple of this, and so are byte bounds. */
const UNIT = 50;

it("the log in memory and the real one answer the same after any history", async () => {
  const random = seededRandom();
  for (let i = 0; i < HISTORIES; i++) await compare(random);
});

async function compare(random: Random): Promise<void> {
  await using rig = await createJetStreamRig();
  const memory = new MemoryLog();
  const live: [real: unknown[], memory: unknown[]] = [[], []];
  for (const [i, log] of [rig.log, memory].entries()) {
    for (const subject of SUBJECTS) {
      await log.live(subject, (record) =>
        live[i as 0 | 1].push(record && { ...plain(record), prevSeq: record.prevSeq }),
      );
    }
  }
  const below = (limit: number) => Math.floor(random() * limit);
  const subject = () => SUBJECTS[below(SUBJECTS.length - 1)] as string;
  let lives = 1;
  for (let step = 0; step < STEPS; step++) {
    const { firstSeq, lastSeq } = memory.stream.state();
    const dice = random();
    if (dice < 0.6) {
      const to = subject();
      const data = `${step} `.padEnd(UNIT * (1 + below(4)) - to.length, "x");
      await rig.store(to, data);
      memory.stream.store(to, Buffer.from(data), { id: "" });
    } else if (dice < 0.64) {
      const first = firstSeq + below(lastSeq - firstSeq + 2);
      await rig.trim(first);
      memory.trim(first);
    } else if (dice < 0.68) {
      const [of, until] = [subject(), random() < 0.3 ? undefined : 1 + below(lastSeq + 1)];
      await rig.purge(of, until);
      memory.purge(of, until);
    } else if (dice < 0.69 && lastSeq > 0) {
      await rig.recreate();
      memory.recreate(`life ${++lives}`);
    } else {
      const ask = question(below, lastSeq);
      const [real, ours] = [await answer(rig.log, ask), await answer(memory, ask)];
      expect(ours, `step ${step}: ${JSON.stringify(ask)}`).toEqual(real);
    }
  }
  // A republished record and its acknowledgement take different ways.
  await eventually(() => live[0].length).toBeGreaterThanOrEqual(live[1].length);
  expect(live[1]).toEqual(live[0]);
}

type Question =
  | { readonly at: number }
  | { readonly head: string }
  | { readonly read: PageRequest }
  | { readonly heads: readonly string[]; readonly upToSeq: number }
  | "state";

function question(below: (limit: number) => number, lastSeq: number): Question {
  // Also a little beyond the end.
  const seq = 1 + below(lastSeq + 3);
  const subject = SUBJECTS[below(SUBJECTS.length)] as string;
  switch (below(5)) {
    case 0:
      return { at: seq };
    case 1:
      return { head: subject };
    case 2:
      return { heads: SUBJECTS.filter(() => below(3) > 0), upToSeq: seq };
    case 3:
      return { read: { subject, from: { seq }, records: 1 + below(8), bytes: UNIT * (1 + below(20)) } };
    default:
      return "state";
  }
}

async function answer(log: EventLog, ask: Question): Promise<unknown> {
  if (ask === "state") {
    const { firstSeq, lastSeq } = await log.state();
    return lastSeq === 0 ? lastSeq : [firstSeq, lastSeq];
  }
  if ("at" in ask) return plain(await log.at(ask.at));
  if ("head" in ask) return plain(await log.head(ask.head));
  if ("read" in ask) return whole(await log.read(ask.read));
  return log.heads(ask.heads, ask.upToSeq);
}

function whole({ records, pending }: LogPage) {
  return [records.map(plain), pending];
}
