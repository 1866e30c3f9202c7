import { describe, expect, it } from "vitest";
import { createDeliveryRig, NAME, SUBJECT } from "../testing/delivery-rig.ts";
import { settle } from "../testing/memory-log.ts";
import type { StartRequest } from "./locate.ts";

const unlimited = (start: StartRequest) => ({
  start,
  limit: 4,
  maxBytes: 1_000_000,
  signal: new AbortController().signal,
});

describe("[HTTP-5] history", () => {
  it("has what the log has, whether the live feed has brought it or not", async () => {
    const { log, delivery, subscribe } = createDeliveryRig({ pageRecords: 10 });
    for (let i = 1; i <= 3; i++) log.store(SUBJECT, `${i}`);
    subscribe({ kind: "now" });
    await settle();
    for (let i = 4; i <= 9; i++) log.store(SUBJECT, `${i}`, { live: false });
    const events: string[] = [];
    const more: boolean[] = [];
    let start: StartRequest = { kind: "rewind", rewind: "all" };
    do {
      const piece = await delivery.history(NAME, SUBJECT, unlimited(start));
      events.push(...piece.events.map((each) => JSON.parse(each.toString("utf8")).payload));
      more.push(piece.more);
      start = { kind: "after", eventId: piece.next };
    } while (more.at(-1));
    expect(events).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    expect(more).toEqual([true, true, false]);
  });

  it("many that ask for what is new ask the log once", async () => {
    const { log, delivery, subscribe } = createDeliveryRig();
    const { seq, check } = log.store(SUBJECT, "1");
    subscribe({ kind: "now" });
    await settle();
    const { head } = log.asked;
    const start = { kind: "after", eventId: `a-${seq}-${check}` } as const;
    const pieces = await Promise.all(
      Array.from({ length: 500 }, () => delivery.history(NAME, SUBJECT, unlimited(start))),
    );
    expect(pieces.every(({ more, events }) => !more && events.length === 0)).toBe(true);
    expect(log.asked.head - head).toBeLessThanOrEqual(2);
  });

  it("a gap that it tells is counted", async () => {
    const { log, delivery } = createDeliveryRig();
    log.store(SUBJECT, "1");
    const start = { kind: "after", eventId: "nonsense" } as const;
    await delivery.history(NAME, SUBJECT, unlimited(start));
    expect(delivery.figures.gaps.unknown).toBe(1);
  });
});
