import fc from "fast-check";
import type { Random } from "../support/random.ts";
import { below, chance, damaged, pick, weighted } from "./choice.ts";

/** How many channels there are to subscribe and publish to: so many that each stays small. */
export const CHANNELS = 200;
export const channelName = (n: number): string => `spec:fuzz${n}`;

/** Credentials that a command can present. */
export interface Tokens {
  /** What the connection came with. */
  readonly own: string;
  /** Somebody else's, all good. */
  readonly others: readonly string[];
  readonly expired: string;
}

const anyText = fc.string({ unit: "binary", maxLength: 200 });
/** Half surrogate pairs among others: JSON can say them, UTF-8 cannot. */
const brokenText = fc
  .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 })
  .map((units) => String.fromCharCode(...units));
const strangeKey = fc.oneof(
  fc.constantFrom("__proto__", "constructor", "toString", "hasOwnProperty", "prototype", "then", "length", "0", ""),
  fc.constantFrom("ID", "Channel", "lasteventid", "last_event_id", "token", "rewind", "type ", "typ\u0435"),
  anyText,
);
const id = fc.oneof(
  { weight: 6, arbitrary: fc.nat() },
  { weight: 2, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 128 }) },
  { weight: 1, arbitrary: fc.maxSafeInteger() },
  { weight: 3, arbitrary: fc.constant(undefined) },
);
const channel = fc.oneof(
  { weight: 12, arbitrary: fc.nat(CHANNELS - 1).map(channelName) },
  { weight: 1, arbitrary: fc.constantFrom("team:demo", "team:other", "team:DEMO", "agent:a", "agent:b") },
  { weight: 2, arbitrary: fc.string({ maxLength: 300 }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "",
      "spec:",
      "spec:*",
      "spec:>",
      "team:demo.spec.x",
      "spec:a b",
      "spec:a\n",
      "spec:../x",
      "SPEC:x",
      "spec:\u0000",
      `spec:${"x".repeat(129)}`,
      "spec:\ud800",
      "constructor",
      "__proto__",
    ),
  },
  { weight: 1, arbitrary: fc.oneof(anyText, brokenText).map((text) => `spec:${text}`) },
);
const position = fc.oneof(
  fc.constantFrom("0-0-0000", "", "mww9554e-1-zzzz", "0-99999999999999999999-0000", "a-1-0000.18446744073709551616"),
  fc.tuple(fc.nat(), fc.nat(), fc.nat(1_679_615)).map(([a, b, c]) => `${a.toString(36)}-${b}-${c.toString(36)}`),
  fc.string({ unit: "binary", maxLength: 140 }),
);
const rewind = fc.oneof(
  fc.constant("all"),
  fc.record({ count: fc.integer({ min: -1, max: 100_001 }) }),
  fc.record({ seconds: fc.oneof(fc.double({ min: 0.001, max: 100 }), fc.constantFrom(0, -1, 1e9, 31_622_400)) }),
);

/** What JSON can say in the place of something else. */
const ODD_VALUES = [
  "null",
  "true",
  "0",
  "-0",
  "1.5",
  "1e3",
  "1e999",
  "-1e-999",
  "9007199254740993",
  "123456789012345678901234567890",
  '""',
  "[]",
  "{}",
  '["spec:fuzz1"]',
  '{"count":1,"seconds":1}',
  '{"__proto__":{"count":1}}',
  '"\\ud800"',
  '"\\u0000"',
  '"\\u2028"',
] as const;

/** A command as the members of its JSON object, in order: a key can come twice, and a value be what no object holds. */
type Members = readonly (readonly [key: string, json: string])[];

function serialise(members: Members, space: string): string {
  return `{${space}${members.map(([key, json]) => `${JSON.stringify(key)}:${space}${json}`).join(`,${space}`)}${space}}`;
}

const members = (object: Readonly<Record<string, unknown>>): Members =>
  Object.entries(object).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, JSON.stringify(value)] as const],
  );

/** How often the values that fast-check made are replaced with further ones. */
const REFRESH = 20_000;

/** Makes texts that a client might send as a command: right ones, nearly right ones, and what is none at all. */
export class CommandSource {
  readonly #random: Random;
  readonly #tokens: Tokens;
  #commands: readonly Members[] = [];
  #keys: readonly string[] = [];
  #json: readonly string[] = [];
  #texts: readonly string[] = [];
  #made = 0;

  constructor(random: Random, tokens: Tokens) {
    this.#random = random;
    this.#tokens = tokens;
  }

  /** @param positions eventIds that the broker named: some commands resume from them */
  next(positions: readonly string[]): Buffer {
    if (this.#made++ % REFRESH === 0) this.#refresh();
    const random = this.#random;
    const text = weighted<string>(random, [
      [40, () => this.#plain(positions)],
      [30, () => this.#mutated(positions)],
      [5, () => pick(random, this.#json)],
      [3, () => pick(random, this.#texts)],
      [2, () => this.#several(positions)],
      [1, () => nested(random)],
      [1, () => `{"type":"ping","id":"${"x".repeat(below(random, 300))}"}`],
      [0.3, () => `{"type":"ping","x":"${"\u00e4".repeat(below(random, 10_000))}"}`],
    ]);
    const bytes = Buffer.from(text);
    return chance(random, 0.2) ? damaged(random, bytes) : bytes;
  }

  #refresh(): void {
    const sample = <T>(arbitrary: fc.Arbitrary<T>, numRuns: number): T[] =>
      fc.sample(arbitrary, { numRuns, seed: below(this.#random, 2 ** 31) });
    const { own, others, expired } = this.#tokens;
    const token = fc.oneof(
      fc.constantFrom(own, expired, ...others),
      fc.constantFrom("", "kat_", "kat_live_x_y", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "kss_x"),
      fc.string({ unit: "binary", maxLength: 300 }),
      fc.constantFrom(own, expired, ...others).map((text) => `${text.slice(0, -2)}xx`),
    );
    const command = fc.oneof(
      { weight: 5, arbitrary: fc.record({ type: fc.constant("ping"), id }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("subscribe"), channel, id }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("subscribe"), channel, lastEventId: position, id }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("subscribe"), channel, rewind, id }) },
      { weight: 3, arbitrary: fc.record({ type: fc.constant("unsubscribe"), channel, id }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("auth"), token, id }) },
      { weight: 1, arbitrary: fc.record({ type: fc.string({ maxLength: 20 }), channel, id }) },
    );
    this.#commands = sample(command, 4_000).map(members);
    this.#keys = sample(strangeKey, 200);
    this.#json = sample(fc.json({ stringUnit: "binary" }), 500);
    this.#texts = [...sample(fc.oneof(anyText, brokenText), 300), "", " ", "\ufeff{}", "\u0000", "{", "]", '"'];
  }

  #command(positions: readonly string[]): Members {
    const command = pick(this.#random, this.#commands);
    if (positions.length === 0) return command;
    return command.map(([key, json]) =>
      key === "lastEventId" && chance(this.#random, 0.5)
        ? [key, JSON.stringify(pick(this.#random, positions))]
        : [key, json],
    );
  }

  #plain(positions: readonly string[]): string {
    return serialise(this.#command(positions), "");
  }

  #several(positions: readonly string[]): string {
    return this.#plain(positions) + pick(this.#random, ["", "\n", " ", ",", "\u0000"]) + this.#plain(positions);
  }

  #mutated(positions: readonly string[]): string {
    const random = this.#random;
    const result = [...this.#command(positions)];
    for (let left = 1 + below(random, 2); left > 0; left--) {
      const at = below(random, result.length);
      const [key, json] = result[at] ?? ["type", '"ping"'];
      weighted<void>(random, [
        [2, () => void result.splice(at, 1)],
        [3, () => void result.splice(at, 1, [key, pick(random, ODD_VALUES)])],
        [2, () => void result.push([pick(random, this.#keys), pick(random, ODD_VALUES)])],
        [1, () => void result.push([key, pick(random, ODD_VALUES)])],
        [1, () => void result.push(pick(random, pick(random, this.#commands)))],
        [1, () => void result.splice(at, 1, [key, pick(random, this.#json)])],
        [1, () => void result.splice(at, 1, [pick(random, this.#keys), json])],
        [1, () => void result.splice(at, 1, [key, JSON.stringify(pick(random, this.#texts))])],
        [1, () => void result.reverse()],
      ]);
    }
    return serialise(result, pick(random, ["", "", " ", "\n", "\t\r\n "]));
  }
}

function nested(random: Random): string {
  const depth = 1 + below(random, 3_000);
  const [open, close] = pick(random, [
    ["[", "]"],
    ['{"a":', "}"],
    ['{"type":', "}"],
  ]) as [string, string];
  const whole = `${open.repeat(depth)}1${close.repeat(depth)}`;
  return pick(random, [whole, open.repeat(depth), `{"type":"ping","id":${whole}}`]);
}
