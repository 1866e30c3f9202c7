import { expect, it } from "vitest";
import { startNats, type TestNats } from "../support/nats.ts";
import { residentBytes } from "../support/process-usage.ts";
import { type Random, REPEAT, randomFrom, seededRandom } from "../support/random.ts";
import { readLog } from "../support/stream.ts";
import { Breaker } from "./breaker.ts";
import { type BrokerUnderFuzz, startBrokerUnderFuzz } from "./broker-under-fuzz.ts";
import { startBystander } from "./bystander.ts";
import { below } from "./choice.ts";
import { FrameFuzzer } from "./frame-fuzzer.ts";
import { HttpFuzzer } from "./http-fuzzer.ts";
import { STREAMED } from "./http-requests.ts";

const INPUTS = 200_000 * REPEAT;
/** After so many, what is kept once is there: compiled code, buffers, channels, the heap's usual size. */
const WARM_UP = 40_000;
/**
 * What resident memory may grow by after that, bytes. 500 bytes kept of each of 160,000 inputs would be 80 MB; between two looks at
 * a broker that keeps nothing lie some 20 MB, garbage that was not collected yet.
 */
const MAX_GROWTH = 60 * 2 ** 20;

/** Parts of the inputs: frames, requests, and connections with what is neither. */
const SHARES = { frames: 0.59, requests: 0.4, broken: 0.01 } as const;
const FUZZERS = 5;
/** Of all inputs so many may meet a connection that is just being closed: one answer in a thousand that is not given would be more. */
const MAX_CLOSED = INPUTS / 5_000;
/** So many more, because some of what is broken has to be waited for. */
const BREAKERS = 40;

it("[COMMAND-3] [COMMAND-4] [ERROR-1] [ERROR-2] [HTTP-2] [CONNECT-4] whatever is sent is answered by its code, once; nothing is kept, and nobody else notices", {
  timeout: REPEAT * 300_000,
}, async () => {
  const random = seededRandom();
  await using nats = await startNats();
  await using under = await startBrokerUnderFuzz(nats);
  const { broker, complaints } = under;
  const channel = `spec:bystander${below(random, 1_000_000)}`;
  const bystander = await startBystander(broker, nats.url, channel);
  const before = await under.connections();
  const crowd = createCrowd(random, under);
  await crowd.run(WARM_UP);
  await expect.poll(() => under.connections(), { timeout: 30_000 }).toBe(before);
  const warm = residentBytes(broker.pid);
  await crowd.run(INPUTS - WARM_UP);
  await expect.poll(() => under.connections(), { timeout: 30_000 }).toBe(before);
  // Whoever has forgotten it gives it back, sooner or later.
  await expect.poll(() => residentBytes(broker.pid) - warm, { timeout: 20_000 }).toBeLessThan(MAX_GROWTH);
  await bystander.leave();
  console.info(`closed instead of an answer: ${crowd.closedInSilence()}`);
  expect(crowd.closedInSilence()).toBeLessThanOrEqual(MAX_CLOSED);
  expect(complaints).toEqual([]);
  expect(await stored(nats, [channel, STREAMED])).toEqual([...crowd.acknowledged()].sort());
});

function createCrowd(random: Random, { broker, tokens, readerKey }: BrokerUnderFuzz) {
  const several = <T>(count: number, make: (random: Random) => T): T[] =>
    Array.from({ length: count }, () => make(randomFrom(below(random, 2 ** 31))));
  const frames = several(FUZZERS, (own) => new FrameFuzzer(own, broker.port, tokens));
  const requests = several(FUZZERS, (own) => new HttpFuzzer(own, broker.port, tokens, readerKey));
  const broken = several(BREAKERS, (own) => new Breaker(own, broker.port, broker.apiKey));
  return {
    /** All at the same time, until so many inputs are answered. */
    async run(inputs: number): Promise<void> {
      await Promise.all([
        ...frames.map((each) => each.run(Math.ceil((inputs * SHARES.frames) / FUZZERS))),
        ...requests.map((each) => each.run(Math.ceil((inputs * SHARES.requests) / FUZZERS))),
        ...broken.map((each) => each.run(Math.ceil((inputs * SHARES.broken) / BREAKERS))),
      ]);
      await Promise.all(frames.map((each) => each.close()));
      for (const each of requests) each.close();
    },
    closedInSilence: () => requests.reduce((sum, each) => sum + each.closedInSilence, 0),
    /** The eventIds of what was answered with 201, each once: an idempotency key that comes again is the same event. */
    acknowledged: () => new Set(requests.flatMap((each) => each.eventIds)),
  };
}

/** The eventIds of everything in the log but these channels' events: what was refused must not be there. */
async function stored(nats: TestNats, except: readonly string[]): Promise<string[]> {
  const records = await readLog(nats.url);
  return records
    .filter(({ subject }) => !except.some((channel) => subject.endsWith(channel.replace(":", "."))))
    .flatMap(({ eventIds }) => eventIds)
    .sort();
}
