import { describe, expect, it } from "vitest";
import { createDeliveryRig, NAME, SUBJECT } from "../testing/delivery-rig.ts";
import { nextTurn } from "../testing/memory-answers.ts";

const ALL = { kind: "rewind", rewind: "all" } as const;
/** So many records does the log keep. */
const KEPT = 100;

/** A log that is full: each record that is stored takes the oldest one's place. */
function createFullLog(limits: { pageCacheBytes?: number } = {}) {
  const rig = createDeliveryRig({ ringBytes: 0, pageRecords: 50, highWaterBytes: 1e9, ...limits });
  let stored = 0;
  const store = () => {
    const { seq } = rig.log.store(SUBJECT, `${++stored}`);
    if (seq > KEPT) rig.log.trim(seq - KEPT + 1);
  };
  for (let i = 0; i < 3 * KEPT; i++) store();
  return {
    ...rig,
    /** Turns of the event loop, with a record every so many of them, until it is so. */
    async storeUntil(every: number, done: () => boolean): Promise<void> {
      for (let turn = 0; turn < 2_000 && !done(); turn++) {
        if (turn % every === 0) store();
        await nextTurn();
      }
      expect(done()).toBe(true);
    },
  };
}

describe("attacks invariants 2 and 4: a log that is full and busy, from its very front on", () => {
  it.each([
    [3, 1_000_000],
    [5, 1_000_000],
    [10, 1_000_000],
    [3, 0],
    [10, 0],
  ])(
    "a reader gets somewhere though it is trimmed every %i turns (%i bytes of pages kept)",
    async (every, pageCacheBytes) => {
      const { subscribe, storeUntil } = createFullLog({ pageCacheBytes });
      const reader = subscribe(ALL);
      await storeUntil(every, () => reader.got.includes("caught_up"));
      const gaps = reader.got.filter((each) => each.startsWith("subscribed gap"));
      expect(gaps.length).toBeLessThanOrEqual(3);
      expect(reader.events.length).toBeGreaterThanOrEqual(40);
      // In order, and whole between two gaps.
      const parts = reader.got.join(" ").split(/subscribed \w+(?: expired)?/);
      for (const part of parts.slice(1)) {
        const events = (part.match(/\d+/g) ?? []).map(Number);
        expect(events).toEqual(events.map((_, i) => (events[0] as number) + i));
      }
    },
  );

  it.each([3, 5, 10])("history is answered though it is trimmed every %i turns", async (every) => {
    const { delivery, storeUntil } = createFullLog();
    let answered = 0;
    const { signal } = new AbortController();
    void delivery.history(NAME, SUBJECT, { start: ALL, limit: 60, maxBytes: 1e6, signal }).then(({ events }) => {
      answered = events.length;
    });
    await storeUntil(every, () => answered > 0);
    expect(answered).toBeGreaterThanOrEqual(40);
  });
});
