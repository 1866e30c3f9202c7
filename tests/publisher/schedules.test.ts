import { setTimeout as pause } from "node:timers/promises";
import { type EventInput, type Publisher, PublisherError, type PublishResult } from "@kata/publisher";
import { ClassicLevel } from "classic-level";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { type Random, REPEAT, randomFrom, seededRandom } from "../support/random.ts";
import { readLog } from "../support/stream.ts";
import { createTempDirectory } from "../support/temp-directory.ts";
import { expectTold } from "./outcomes.ts";
import { createRig, type Rig, TEAM, upTo, WAYS } from "./rig.ts";

const CHANNELS = ["agent:a1", "agent:b1", "spec:s1", `team:${TEAM}`];
/** So many schedules, each of so many publishers, one after the other, that do so many things. */
const SCHEDULES = 4 * REPEAT;
const PUBLISHERS = 3;
const STEPS = 120;
const STRANGE = ["é", "語", "😀", "\u2028", "\ud800"];

/** What an application has published, and what it was told of each event. */
class Application {
  readonly #all = new Map<string, (PublishResult | PublisherError | undefined)[]>(CHANNELS.map((each) => [each, []]));
  readonly #random: Random;
  /** How often it was told of an event of which it had been told. */
  toldAgain = 0;
  #signals = upTo(4).map(() => new AbortController());

  constructor(random: Random) {
    this.#random = random;
  }

  get untold(): number {
    return [...this.#all.values()].flat().filter((outcome) => outcome === undefined).length;
  }

  outcomesOf(channel: string) {
    return this.#all.get(channel) ?? [];
  }

  abort(): void {
    const at = this.#below(this.#signals.length);
    this.#signals[at]?.abort();
    this.#signals[at] = new AbortController();
  }

  /** By whichever way, with whichever options. */
  publish(publisher: Publisher): void {
    const random = this.#random;
    const channel = CHANNELS[this.#below(CHANNELS.length)] as string;
    const options = {
      ...(random() < 0.3 ? { signal: this.#signals[this.#below(this.#signals.length)]?.signal } : {}),
      ...(random() < 0.2 ? { timeoutMs: [5, 50, 400, Infinity][this.#below(4)] as number } : {}),
    };
    const way = random();
    if (way < 0.6) {
      const [event, tell] = this.#event(channel, random() < 0.15);
      publisher.publish(channel, event, options).then(tell, tell);
      return;
    }
    const together = random() < 0.4 ? { ...options, idempotencyKey: this.#key() } : options;
    const made = upTo(1 + this.#below(6)).map(() => this.#event(channel, together === options && random() < 0.1));
    const events = made.map(([event]) => event);
    const failed = (error: unknown) => {
      for (const [, tell] of made) tell(error);
    };
    if (way < 0.8) {
      publisher.publishEach(channel, events, together).then((outcomes) => {
        for (const [i, outcome] of outcomes.entries()) made[i]?.[1]("error" in outcome ? outcome.error : outcome);
      }, failed);
    } else {
      publisher.publishMany(channel, events, together).then((results) => {
        for (const [i, result] of results.entries()) made[i]?.[1](result);
      }, failed);
    }
  }

  #event(channel: string, keyed: boolean): [EventInput, (outcome: unknown) => void] {
    const all = this.outcomesOf(channel);
    const i = all.push(undefined) - 1;
    const message = (this.#random() < 0.3 ? (STRANGE[this.#below(STRANGE.length)] as string) : "x").repeat(
      this.#below(150),
    );
    const event = { type: "log_entry", payload: { message, i }, ...(keyed ? { idempotencyKey: this.#key() } : {}) };
    return [
      event,
      (outcome) => {
        if (all[i] !== undefined) this.toldAgain++;
        all[i] = outcome as PublishResult | PublisherError;
      },
    ];
  }

  #key(): string {
    return this.#random().toString(36);
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }
}

/** A disk that is full while it is told to be. */
function createDisk() {
  const disk = { full: false };
  const batch = ClassicLevel.prototype.batch;
  const spy = vi.spyOn(ClassicLevel.prototype, "batch").mockImplementation(async function (
    this: ClassicLevel,
    ...operations: unknown[]
  ) {
    if (!disk.full) return await (batch as (...args: unknown[]) => Promise<void>).apply(this, operations);
    await pause(3);
    throw new Error("IO error: 000003.log: No space left on device");
  } as never);
  onTestFinished(() => spy.mockRestore());
  return disk;
}

/** Something happens: to the way, to the disk, or by the application. */
async function step(random: Random, rig: Rig, disk: { full: boolean }, application: Application, publisher: Publisher) {
  const what = random();
  if (what < 0.72) application.publish(publisher);
  else if (what < 0.77) application.abort();
  else if (what < 0.88) await pause(Math.floor(random() * 12));
  else if (what < 0.92) rig.proxy.pause();
  else if (what < 0.96) rig.proxy.resume();
  else if (what < 0.98) rig.proxy.cut();
  else disk.full = !disk.full;
}

describe.each(WAYS)("over %s, whatever happens in whatever order", (way) => {
  test.each(["without a spool", "with a spool"])(
    "%s: each event is in the log once, in order, or was rejected, and what its rejection says is true; nothing is left in the queue",
    async (which) => {
      const seeds = seededRandom();
      const disk = createDisk();
      for (let schedule = 0; schedule < SCHEDULES; schedule++) {
        const random = randomFrom(seeds() * 2 ** 32);
        await using rig = await createRig({ way });
        await using directory = await createTempDirectory();
        const application = new Application(random);
        const spool = which === "with a spool" ? directory.path : undefined;
        for (let n = 0; n < (spool === undefined ? 1 : PUBLISHERS); n++) {
          const last = spool === undefined || n === PUBLISHERS - 1;
          const publisher: Publisher = await rig.publisher({
            spool,
            ackTimeoutMs: 300,
            closeTimeoutMs: last ? 20_000 : random() * 60,
            maxQueueBytes: 60_000,
            maxRecordBytes: 2_000,
            maxRecordEvents: 2 + Math.floor(random() * 20),
            onRecord: () => {
              if (random() < 0.05) application.publish(publisher);
            },
          });
          for (let i = 0; i < STEPS; i++) await step(random, rig, disk, application, publisher);
          if (last) {
            rig.proxy.resume();
            disk.full = false;
          }
          const closed = publisher.close().catch((error: unknown) => error);
          // A last commit can wait for the log's answer.
          const resumed = pause(random() * 80).then(() => rig.proxy.resume());
          const error = await closed;
          if (last) expect(error).toBeUndefined();
          else if (error !== undefined) expect(error).toBeInstanceOf(PublisherError);
          await resumed;
          disk.full = false;
          expect(publisher.stats).toMatchObject({ queuedEvents: 0, queuedBytes: 0, channels: 0 });
          expect({ untold: application.untold, again: application.toldAgain }).toEqual({ untold: 0, again: 0 });
        }
        for (const channel of CHANNELS) {
          const all = application.outcomesOf(channel);
          const subject = `kata.team.${TEAM}${channel.startsWith("team:") ? "" : `.${channel.replace(":", ".")}`}`;
          const log = await readLog(rig.nc, subject);
          expectTold({ all }, log);
          const stored = new Set(log.flatMap(({ lines }) => lines.map((line) => JSON.parse(line).payload.i)));
          const isKept = (each: unknown) => each instanceof PublisherError && each.code === "spooled";
          expect(all.flatMap((each, i) => (isKept(each) && !stored.has(i) ? [i] : []))).toEqual([]);
        }
      }
    },
    120_000 * REPEAT,
  );
});
