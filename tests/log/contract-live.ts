import { describe, expect, it } from "vitest";
import type { LiveRecord } from "../../broker/src/log/event-log.ts";
import { eventually, type LogRig, NEVER, OTHERS, plain, SUBJECT } from "./contract.ts";

type Got = [seq: number, prevSeq: number] | undefined;

/** A feed's records as sequence and previous sequence. */
async function follow(rig: LogRig, subject: string) {
  const got: Got[] = [];
  const feed = await rig.log.live(subject, (record) => got.push(record && [record.seq, record.prevSeq]));
  return { got, close: () => feed.close() };
}

export function describeLive(create: () => Promise<LogRig>): void {
  describe("live()", () => {
    it("hands on what is stored from now on, whole", async () => {
      await using rig = await create();
      await rig.store(SUBJECT, "before");
      const got: (LiveRecord | undefined)[] = [];
      await rig.log.live(SUBJECT, (record) => got.push(record));
      await rig.store(SUBJECT, "1");
      await rig.store(SUBJECT, "2", "id");
      await eventually(() => got.length).toBe(2);
      const stored = await Promise.all([rig.log.at(2), rig.log.at(3)]);
      expect(got.map(plain)).toEqual(stored.map(plain));
      expect(got.map((record) => record?.prevSeq)).toEqual([1, 2]);
    });

    it("hands on its subject alone, not those that begin like it", async () => {
      await using rig = await create();
      const { got } = await follow(rig, SUBJECT);
      for (const other of OTHERS) await rig.store(other);
      const seq = await rig.store(SUBJECT);
      await eventually(() => got).toEqual([[seq, 0]]);
    });

    it("names the subject's previous record, 0 for the first one", async () => {
      await using rig = await create();
      const mine = await follow(rig, SUBJECT);
      const others = await follow(rig, OTHERS[0]);
      for (const subject of [OTHERS[0], SUBJECT, OTHERS[0], OTHERS[1], SUBJECT, SUBJECT]) await rig.store(subject);
      const expected = [
        [2, 0],
        [5, 2],
        [6, 5],
      ];
      await eventually(() => mine.got).toEqual(expected);
      expect(others.got.slice(0, 2)).toEqual([
        [1, 0],
        [3, 1],
      ]);
    });

    it("names 0 after everything of the subject was purged or trimmed, the one that is left after a part was", async () => {
      await using rig = await create();
      const { got } = await follow(rig, SUBJECT);
      await rig.store(SUBJECT);
      await rig.store(OTHERS[0]);
      await rig.purge(SUBJECT);
      await rig.store(SUBJECT);
      await rig.trim(4);
      await rig.store(SUBJECT);
      await rig.store(SUBJECT);
      await rig.purge(SUBJECT, 5);
      await rig.store(SUBJECT);
      const expected = [
        [1, 0],
        [3, 0],
        [4, 0],
        [5, 4],
        [6, 5],
      ];
      await eventually(() => got).toEqual(expected);
    });

    it("keeps the order of the log", async () => {
      await using rig = await create();
      const { got } = await follow(rig, SUBJECT);
      await Promise.all(Array.from({ length: 300 }, () => rig.store(SUBJECT)));
      await eventually(() => got.length).toBe(300);
      expect(got).toEqual(Array.from({ length: 300 }, (_, i) => [i + 1, i]));
    });

    it("feeds several of one subject, until each is closed; closing one again does nothing", async () => {
      await using rig = await create();
      const first = await follow(rig, SUBJECT);
      const second = await follow(rig, SUBJECT);
      await rig.store(SUBJECT);
      await eventually(() => [first.got.length, second.got.length]).toEqual([1, 1]);
      first.close();
      await rig.store(SUBJECT);
      await eventually(() => second.got.length).toBe(2);
      first.close();
      const third = await follow(rig, SUBJECT);
      second.close();
      await rig.store(SUBJECT);
      await eventually(() => third.got).toEqual([[3, 2]]);
      expect([first.got.length, second.got.length]).toEqual([1, 2]);
    });

    it("can be closed by what it hands on", async () => {
      await using rig = await create();
      const got: unknown[] = [];
      const feed = await rig.log.live(SUBJECT, (record) => {
        got.push(record?.seq);
        feed.close();
      });
      const { got: all } = await follow(rig, SUBJECT);
      await rig.store(SUBJECT);
      await rig.store(SUBJECT);
      await eventually(() => all.length).toBe(2);
      expect(got).toEqual([1]);
    });

    it("hands on undefined for what cannot be read, and goes on", async () => {
      await using rig = await create();
      const { got } = await follow(rig, SUBJECT);
      await rig.store(SUBJECT);
      await eventually(() => got.length).toBe(1);
      await rig.garble(SUBJECT);
      await eventually(() => got.length).toBe(2);
      await rig.store(SUBJECT);
      await rig.garble(NEVER);
      await eventually(() => got).toEqual([[1, 0], undefined, [2, 1]]);
    });

    it("goes on in the life of a stream made anew", async () => {
      await using rig = await create();
      const { got } = await follow(rig, SUBJECT);
      await rig.store(SUBJECT);
      await eventually(() => got.length).toBe(1);
      await rig.recreate();
      await rig.store(SUBJECT);
      await eventually(() => got.slice(1)).toEqual([[1, 0]]);
    });
  });
}
