import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Bucket, type BucketChange, type BucketWatch, StoreUnavailableError } from "./bucket.ts";
import { Mirror } from "./mirror.ts";

type OnChange = (change: BucketChange, pending: number) => void;

interface Watcher {
  readonly onChange: OnChange;
  /** What has not been handed on yet. */
  readonly queue: BucketChange[];
  deaf: boolean;
  readonly stop: () => void;
}

/** A bucket that a test holds in its hand: nothing comes of it but what the test lets through. */
class FakeBucket implements Bucket {
  readonly name = "fake";
  readonly #entries = new Map<string, BucketChange>();
  #revision = 0;
  #incarnation = 1;
  readonly watchers: Watcher[] = [];
  /** What the next watches have to wait for. */
  gate: Promise<void> | undefined;
  away = false;
  watches = 0;

  readonly get = () => Promise.reject(new Error("not asked here"));
  readonly create = this.get;
  readonly update = this.get;
  readonly delete = this.get;

  /** Once a change is `lost`, those who watch hear of no further one: a watch of NATS finds holes by itself. */
  put(key: string, text: string | undefined, how: "told" | "lost" = "told"): number {
    const value = text === undefined ? undefined : Buffer.from(text);
    const change = { key, value, revision: ++this.#revision };
    this.#entries.set(key, change);
    if (how === "lost") for (const watcher of this.watchers) watcher.deaf = true;
    for (const { deaf, queue } of this.watchers) if (!deaf) queue.push(change);
    return this.#revision;
  }

  /** As `STREAM.PURGE` does: the revision stays. */
  purge(): void {
    this.#entries.clear();
  }

  /** Whoever watched the one before hears nothing of this. */
  makeAnew(): void {
    this.purge();
    this.#revision = 0;
    this.#incarnation++;
    this.watchers.splice(0);
  }

  async state() {
    if (this.away) throw new StoreUnavailableError("away");
    return { revision: this.#revision, entries: this.#entries.size, incarnation: `${this.#incarnation}` };
  }

  async watch(onChange: OnChange): Promise<BucketWatch> {
    this.watches++;
    await this.gate;
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const queue = [...this.#entries.values()].sort((a, b) => a.revision - b.revision);
    const watcher: Watcher = {
      onChange,
      queue,
      deaf: false,
      stop: () => {
        const at = this.watchers.indexOf(watcher);
        if (at >= 0) this.watchers.splice(at, 1);
        end();
      },
    };
    this.watchers.push(watcher);
    return { ended, stop: watcher.stop };
  }

  /** Hands on so many of the changes that wait, or all. */
  deliver(count = Number.POSITIVE_INFINITY): void {
    for (const { onChange, queue } of [...this.watchers]) {
      for (let i = 0; i < count && queue.length > 0; i++) onChange(queue.shift() as BucketChange, queue.length);
    }
  }

  /** What a mirror of it has to hold. */
  truth(): Map<string, string> {
    const values = [...this.#entries].flatMap(([key, { value }]) =>
      value === undefined ? [] : [[key, Buffer.from(value).toString()] as const],
    );
    return new Map(values.sort());
  }
}

const STALE_MS = 1_000;
const LOOK_MS = 100_000_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Time goes on, and whatever is ready comes to pass. */
const pass = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

/** A mirror that has been told of everything, which looks when the test tells it to. */
async function open(bucket: FakeBucket) {
  const told = new Map<string, string>();
  const opening = Mirror.open<string>({
    bucket,
    decode: (value) => (value.length === 0 ? undefined : Buffer.from(value).toString()),
    onChange: (key, now) => (now === undefined ? told.delete(key) : told.set(key, now)),
    auditIntervalMs: LOOK_MS,
    staleMs: STALE_MS,
  });
  await pass();
  bucket.deliver();
  const mirror = await opening;
  return { mirror, told, held: () => new Map([...mirror.entries()].sort()) };
}

/** Looks, and lets all come that there is. */
async function look(bucket: FakeBucket, mirror: Mirror<string>): Promise<void> {
  const looking = mirror.look();
  await pass();
  bucket.deliver();
  await looking;
}

/** A bucket with these values. */
function bucketOf(values: Readonly<Record<string, string>>): FakeBucket {
  const bucket = new FakeBucket();
  for (const [key, value] of Object.entries(values)) bucket.put(key, value);
  return bucket;
}

describe("a mirror", () => {
  it("holds what the bucket holds when it has opened, an empty one at once", async () => {
    const bucket = bucketOf({ a: "1", b: "2" });
    bucket.put("b", undefined);
    const { mirror, held, told } = await open(bucket);
    expect(held()).toEqual(new Map([["a", "1"]]));
    expect(told).toEqual(held());
    expect(mirror.get("b")).toBeUndefined();
    expect((await open(new FakeBucket())).held().size).toBe(0);
  });

  it("takes each change as it comes, and a value that says nothing for none", async () => {
    const bucket = bucketOf({ a: "1" });
    const { held, told } = await open(bucket);
    bucket.put("a", "2");
    bucket.put("b", "1");
    bucket.deliver();
    expect(held()).toEqual(bucket.truth());
    bucket.put("a", undefined);
    bucket.put("b", "");
    bucket.deliver();
    expect(held().size).toBe(0);
    expect(told.size).toBe(0);
  });

  it("finds by looking what got lost, and reads nothing anew where nothing did", async () => {
    const bucket = bucketOf({ a: "1", gone: "1" });
    const { mirror, held, told } = await open(bucket);
    bucket.put("gone", undefined, "lost");
    expect(held()).not.toEqual(bucket.truth());
    await look(bucket, mirror);
    expect(held()).toEqual(bucket.truth());
    expect(told).toEqual(held());
    expect(bucket.watches).toBe(2);
    for (let i = 0; i < 3; i++) await look(bucket, mirror);
    expect(bucket.watches).toBe(2);
  });

  it.each([
    ["emptied", (bucket: FakeBucket) => bucket.purge()],
    [
      "emptied and filled with as many",
      (bucket: FakeBucket) => {
        bucket.purge();
        for (const key of ["c", "d"]) bucket.put(key, "1");
      },
    ],
    [
      "made anew and written to as often",
      (bucket: FakeBucket) => {
        bucket.makeAnew();
        for (const key of ["c", "d"]) bucket.put(key, "1");
      },
    ],
    ["made anew and empty", (bucket: FakeBucket) => bucket.makeAnew()],
  ])("lets go of what was in a bucket that was %s", async (_what, change) => {
    const bucket = bucketOf({ a: "1", b: "1" });
    const { mirror, held, told } = await open(bucket);
    change(bucket);
    bucket.deliver();
    await look(bucket, mirror);
    expect(held()).toEqual(bucket.truth());
    expect(mirror.get("a")).toBeUndefined();
    expect(told).toEqual(held());
    const { watches } = bucket;
    await look(bucket, mirror);
    expect(bucket.watches).toBe(watches);
    // And it hears of what comes next.
    bucket.put("e", "1");
    bucket.deliver();
    expect(mirror.get("e")).toBe("1");
  });

  it("a reading that a new connection overtakes counts for nothing", async () => {
    const bucket = bucketOf({ a: "1", b: "1" });
    const { mirror, held, told } = await open(bucket);
    bucket.put("c", "1", "lost");
    const looking = mirror.look();
    await pass();
    const [old] = bucket.watchers;
    bucket.deliver(1);
    const again = mirror.reconnected();
    bucket.put("a", undefined, "lost");
    await pass();
    bucket.deliver();
    await Promise.all([looking, again]);
    // Whatever the old one still tells.
    old?.onChange({ key: "a", value: Buffer.from("1"), revision: 1 }, 0);
    expect(held()).toEqual(bucket.truth());
    expect(told).toEqual(held());
  });

  it("begins anew after a watch that ended, at the next look", async () => {
    const bucket = bucketOf({ a: "1" });
    const { mirror, held } = await open(bucket);
    for (const { stop } of [...bucket.watchers]) stop();
    await pass();
    await look(bucket, mirror);
    bucket.put("b", "1");
    bucket.deliver();
    expect(held()).toEqual(bucket.truth());
  });

  it("reads nothing that ends before its time", async () => {
    const bucket = bucketOf({ a: "1", b: "1" });
    const opening = Mirror.open({ bucket, decode: String, auditIntervalMs: LOOK_MS, staleMs: STALE_MS });
    const outcome = expect(opening).rejects.toBeInstanceOf(StoreUnavailableError);
    await pass();
    bucket.deliver(1);
    for (const { stop } of [...bucket.watchers]) stop();
    await outcome;
  });
});

describe("a reading of the whole bucket", () => {
  it("does not wait for a watch that never begins; one that begins later counts for nothing", async () => {
    const bucket = bucketOf({ a: "1" });
    const { mirror, held } = await open(bucket);
    let begin: () => void = () => undefined;
    bucket.gate = new Promise((resolve) => {
      begin = resolve;
    });
    bucket.put("b", "1", "lost");
    const looking = mirror.look();
    await pass(5_000);
    await looking;
    expect(() => mirror.get("a")).toThrow(StoreUnavailableError);
    begin();
    bucket.gate = undefined;
    await pass();
    expect(bucket.watchers).toHaveLength(0);
    await look(bucket, mirror);
    expect(held()).toEqual(bucket.truth());
  });

  it("does not wait for what a bucket that was emptied just then does not tell", async () => {
    const bucket = bucketOf({ a: "1" });
    const { mirror, held } = await open(bucket);
    bucket.put("b", "1", "lost");
    const looking = mirror.look();
    // It has asked how far the bucket has come.
    bucket.purge();
    await pass(5_000);
    await looking;
    await look(bucket, mirror);
    expect(held().size).toBe(0);
  });

  it("at the start is an outage that whoever opens it is told of", async () => {
    const bucket = bucketOf({ a: "1" });
    const opening = Mirror.open({ bucket, decode: String, auditIntervalMs: LOOK_MS, staleMs: STALE_MS });
    const outcome = expect(opening).rejects.toMatchObject({ code: "unavailable" });
    await pass(5_000);
    await outcome;
    expect(bucket.watchers).toHaveLength(0);
  });

  it("takes as long as it needs, as long as something comes", async () => {
    const bucket = bucketOf({ a: "1", b: "1", c: "1" });
    const opening = Mirror.open({ bucket, decode: String, auditIntervalMs: LOOK_MS, staleMs: 100_000 });
    for (let i = 0; i < 3; i++) {
      await pass(4_999);
      bucket.deliver(1);
    }
    expect([...(await opening).entries()]).toHaveLength(3);
  });
});

describe("what a mirror vouches for", () => {
  it("is nothing once no look has found everything for too long, and everything again after one that has", async () => {
    const bucket = bucketOf({ a: "1" });
    const { mirror } = await open(bucket);
    await pass(STALE_MS);
    expect(mirror.get("a")).toBe("1");
    bucket.away = true;
    await mirror.look();
    await pass(1);
    expect(mirror.fresh).toBe(false);
    expect(() => mirror.get("a")).toThrow(StoreUnavailableError);
    expect(() => mirror.entries()).toThrow(StoreUnavailableError);
    bucket.away = false;
    await look(bucket, mirror);
    expect(mirror.get("a")).toBe("1");
  });

  it("reaches what was written when it has come", async () => {
    const bucket = bucketOf({ a: "1" });
    const { mirror } = await open(bucket);
    const revision = bucket.put("b", "1");
    let reached = 0;
    const waiting = [mirror.reached(revision), mirror.caughtUp()].map((each) => each.then(() => reached++));
    await pass();
    expect(reached).toBe(0);
    bucket.deliver();
    await Promise.all(waiting);
    expect(mirror.get("b")).toBe("1");
    await mirror.reached(revision);
  });

  it("does not wait forever for what does not come", async () => {
    const bucket = bucketOf({ a: "1" });
    const { mirror } = await open(bucket);
    const waiting = expect(mirror.reached(bucket.put("b", "1", "lost"))).rejects.toBeInstanceOf(StoreUnavailableError);
    bucket.away = true;
    await pass(LOOK_MS + 5_000);
    await waiting;
  });
});

type Step =
  | { readonly what: "put"; readonly key: string; readonly value: string | undefined; readonly how: "told" | "lost" }
  | { readonly what: "deliver"; readonly count: number }
  | { readonly what: "look" | "reconnect" | "end" | "purge" | "anew" | "pass" };

const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        what: fc.constant("put" as const),
        key: fc.constantFrom("a", "b", "c", "d"),
        value: fc.option(fc.constantFrom("1", "2", "3"), { nil: undefined }),
        how: fc.constantFrom("told" as const, "told" as const, "lost" as const),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ what: fc.constant("deliver" as const), count: fc.integer({ min: 1, max: 3 }) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ what: fc.constantFrom("look", "reconnect", "end", "purge", "anew", "pass") }),
    },
  ) as fc.Arbitrary<Step>,
  { maxLength: 40 },
);

describe("after any history, with everything come and one look", () => {
  it("a mirror is equal to its bucket, and so is what it told", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (history) => {
        const bucket = bucketOf({ a: "0" });
        const { mirror, held, told } = await open(bucket);
        for (const step of history) {
          if (step.what === "put") bucket.put(step.key, step.value, step.how);
          else if (step.what === "deliver") bucket.deliver(step.count);
          else if (step.what === "look") void mirror.look();
          else if (step.what === "reconnect") void mirror.reconnected();
          else if (step.what === "end") for (const { stop } of [...bucket.watchers]) stop();
          else if (step.what === "purge") bucket.purge();
          else if (step.what === "anew") bucket.makeAnew();
          else await pass();
        }
        await pass();
        bucket.deliver();
        // What waited for what does not come any more has given up.
        await pass(5_000);
        await look(bucket, mirror);
        expect(held()).toEqual(bucket.truth());
        expect(new Map([...told].sort())).toEqual(bucket.truth());
        mirror.close();
      }),
      { numRuns: 1_000 },
    );
  });
});
