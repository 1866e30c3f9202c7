import fc from "fast-check";
import type { DeliveryLimits } from "../delivery/delivery.ts";
import type { Computed } from "./memory-answers.ts";
import type { LineShape } from "./model-log.ts";

/** Two channels with readers, and a subject that nobody reads. */
export const SUBJECTS = ["kata.team.t", "kata.team.t.agent.a", "kata.team.other"] as const;
export const CLIENTS = 3;

/** Where a subscription starts; picks are taken modulo what there is. */
export type ModelStart =
  | { readonly from: "now" | "all" | "where it was" }
  | { readonly from: "count" | "seconds"; readonly n: number }
  /** An event of any channel, in any life of the log, lost or not, or the line beyond its record. */
  | { readonly from: "event"; readonly pick: number; readonly line: number }
  /** A place that no record is named for, at or around the front of the log. */
  | { readonly from: "place"; readonly pick: number }
  | { readonly from: "nonsense"; readonly id: string };

export type Step = { readonly rush?: true } & (
  | { readonly do: "publish"; readonly subject: number; readonly records: readonly (readonly LineShape[])[] }
  | { readonly do: "deliver" | "drop" | "trim" | "flow"; readonly count: number }
  /** A record is stored, and what comes of it over the live feed cannot be read. */
  | { readonly do: "garble"; readonly subject: number }
  | { readonly do: "lag"; readonly count: number }
  | { readonly do: "time out"; readonly pick: number }
  | { readonly do: "answer"; readonly pick: number; readonly as: Computed }
  | { readonly do: "cut" | "heal" | "audit" }
  | { readonly do: "lose tail"; readonly count: number; readonly store: readonly number[]; readonly heal: boolean }
  | { readonly do: "recreate"; readonly told: boolean; readonly live: "comes" | "is lost" }
  | { readonly do: "pass"; readonly ms: number }
  | { readonly do: "subscribe"; readonly client: number; readonly channel: number; readonly start: ModelStart }
  | { readonly do: "unsubscribe"; readonly client: number; readonly channel: number }
  | { readonly do: "leave" | "back" | "slow" | "fast" | "ping"; readonly client: number }
  | { readonly do: "take"; readonly client: number; readonly bytes: number }
);

export interface Schedule {
  readonly limits: Omit<DeliveryLimits, "lingerMs" | "auditIntervalMs">;
  readonly steps: readonly Step[];
}

type Weighted = fc.WeightedArbitrary<Step>;

const few = fc.integer({ min: 1, max: 4 });
const client = fc.nat(CLIENTS - 1);
const channel = fc.nat(1);
const subject = fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 3, arbitrary: fc.nat(2) });
const just = <T extends Step["do"]>(what: T) => fc.constant(what);

export function lines(filler: fc.Arbitrary<number>): fc.Arbitrary<LineShape[]> {
  const line = fc.record({ noise: fc.nat(9).map((n) => n === 1), filler });
  return fc.oneof(
    { weight: 3, arbitrary: fc.array(line, { minLength: 1, maxLength: 1 }) },
    { weight: 1, arbitrary: fc.array(line, { minLength: 2, maxLength: 4 }) },
  );
}

export const start: fc.Arbitrary<ModelStart> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ from: fc.constantFrom("now", "all") }) },
  { weight: 8, arbitrary: fc.record({ from: fc.constant("where it was") }) },
  { weight: 2, arbitrary: fc.record({ from: fc.constantFrom("count", "seconds"), n: fc.nat(12) }) },
  { weight: 6, arbitrary: fc.record({ from: fc.constant("event"), pick: fc.nat(200), line: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ from: fc.constant("place"), pick: fc.nat(200) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      from: fc.constant("nonsense"),
      id: fc.constantFrom(
        "",
        "a",
        "0-0-0000",
        "a-0-0000.1",
        "a-0-zzzz",
        "a-1-zzzz",
        "a-3-zzzz.2",
        "a-9999-zzzz",
        "z-1-aaaa",
      ),
    }),
  },
);

const progress: readonly Weighted[] = [
  { weight: 10, arbitrary: fc.record({ do: just("deliver"), count: few }) },
  {
    weight: 14,
    arbitrary: fc.record({ do: just("answer"), pick: fc.nat(7), as: fc.constantFrom("asked", "arrives") }),
  },
  { weight: 5, arbitrary: fc.record({ do: just("flow"), count: few }) },
  { weight: 10, arbitrary: fc.record({ do: just("subscribe"), client, channel, start }) },
  { weight: 2, arbitrary: fc.record({ do: just("unsubscribe"), client, channel }) },
  { weight: 2, arbitrary: fc.record({ do: just("leave"), client }) },
  { weight: 4, arbitrary: fc.record({ do: just("back"), client }) },
  { weight: 3, arbitrary: fc.record({ do: just("slow"), client }) },
  { weight: 2, arbitrary: fc.record({ do: just("fast"), client }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: just("take"), client, bytes: fc.constantFrom(1, 150, 400, 1_000, 300_000) }),
  },
  { weight: 3, arbitrary: fc.record({ do: just("ping"), client }) },
  { weight: 2, arbitrary: fc.record({ do: just("audit") }) },
  { weight: 1, arbitrary: fc.record({ do: just("garble"), subject: channel }) },
  { weight: 3, arbitrary: fc.record({ do: just("pass"), ms: fc.constantFrom(20, 100, 1_000, 4_000, 9_000) }) },
];

const faults: readonly Weighted[] = [
  { weight: 3, arbitrary: fc.record({ do: just("drop"), count: few }) },
  { weight: 1, arbitrary: fc.record({ do: just("time out"), pick: fc.nat(7) }) },
  { weight: 1, arbitrary: fc.record({ do: just("lag"), count: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: just("cut") }) },
  { weight: 6, arbitrary: fc.record({ do: just("heal") }) },
];

const trim: Weighted = { weight: 2, arbitrary: fc.record({ do: just("trim"), count: fc.nat(6) }) };
const loseTail: Weighted = {
  weight: 1,
  arbitrary: fc.record({
    do: just("lose tail"),
    count: few,
    store: fc.array(subject, { maxLength: 5 }),
    heal: fc.boolean(),
  }),
};
const recreate: Weighted = {
  weight: 1,
  arbitrary: fc.record({ do: just("recreate"), told: fc.boolean(), live: fc.constantFrom("comes", "is lost") }),
};

/** What may be lost in one schedule: if it were everything in each, little would be left to be resumed. */
const losses: readonly (readonly Weighted[])[] = [[trim], [loseTail], [recreate], [trim, loseTail, recreate]];

const limits: fc.Arbitrary<Schedule["limits"]> = fc.record({
  ringBytes: fc.constantFrom(0, 700, 1_500, 3_500, 1_000_000),
  ringTotalBytes: fc.constantFrom(0, 1_000, 2_200, 1_000_000),
  heldBytes: fc.constantFrom(0, 400, 900, 1_000_000),
  pageRecords: fc.constantFrom(1, 2, 3, 100),
  pageBytes: fc.constantFrom(1, 300, 100_000),
  pageCacheBytes: fc.constantFrom(0, 1_400, 3_000, 1_000_000),
  readsInFlight: fc.constantFrom(1, 2, 16),
  highWaterBytes: fc.constantFrom(100, 400, 1_500, 100_000),
});

/** Some steps follow the one before in the same tick, before what that one set going has gone on. */
function hurried(step: fc.Arbitrary<Step>): fc.Arbitrary<Step> {
  return fc.tuple(step, fc.nat(5)).map(([one, n]): Step => (n === 1 ? { ...one, rush: true } : one));
}

/** Of these steps; with events that are large enough for live readers to fall behind in every sixth. */
function scheduleOf(steps: readonly Weighted[]): fc.Arbitrary<Schedule> {
  const publishing = (filler: fc.Arbitrary<number>) => {
    const records = fc.array(lines(filler), { minLength: 1, maxLength: 4 });
    const publish = fc.record({ do: just("publish"), subject, records });
    const step = hurried(fc.oneof({ weight: 12, arbitrary: publish }, ...steps));
    return fc.record({ limits, steps: fc.array(step, { maxLength: 200, size: "max" }) });
  };
  const small = fc.constantFrom(0, 0, 0, 300, 1_500);
  const large = fc.constantFrom(0, 0, 0, 0, 300, 270_000);
  return fc.oneof({ weight: 5, arbitrary: publishing(small) }, { weight: 1, arbitrary: publishing(large) });
}

/** Nothing is lost; answers and live records take their time. */
export const calmSchedules = scheduleOf(progress);
/** Connections break, live records are lost, answers do not come. */
export const faultySchedules = scheduleOf([...progress, ...faults]);
/** The log itself loses records, besides. */
export const lossySchedules = fc.oneof(...losses.map((each) => scheduleOf([...progress, ...faults, ...each])));
