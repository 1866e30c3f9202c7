import { describe, expect, it } from "vitest";
import { type LogRig, OTHERS, SUBJECT } from "./contract.ts";

export function describeState(create: () => Promise<LogRig>): void {
  describe("state()", () => {
    it("of a log that never held anything: the first sequence is the one to come", async () => {
      await using rig = await create();
      expect(await rig.log.state()).toMatchObject({ firstSeq: 1, lastSeq: 0 });
    });

    it("tells the oldest and the newest sequence, whatever the subject", async () => {
      await using rig = await create();
      await rig.store(OTHERS[0]);
      await rig.store(SUBJECT);
      await rig.store(OTHERS[1]);
      expect(await rig.log.state()).toMatchObject({ firstSeq: 1, lastSeq: 3 });
    });

    it("after a trim tells the oldest that is left", async () => {
      await using rig = await create();
      for (let i = 0; i < 5; i++) await rig.store(SUBJECT);
      await rig.trim(4);
      expect(await rig.log.state()).toMatchObject({ firstSeq: 4, lastSeq: 5 });
    });

    it("a purge of the oldest moves the first sequence to the next that is left, one of the middle does not", async () => {
      await using rig = await create();
      await rig.store(SUBJECT);
      await rig.store(OTHERS[0]);
      await rig.store(SUBJECT);
      await rig.store(OTHERS[1]);
      await rig.purge(SUBJECT);
      expect(await rig.log.state()).toMatchObject({ firstSeq: 2, lastSeq: 4 });
      await rig.store(SUBJECT);
      await rig.purge(OTHERS[1]);
      expect(await rig.log.state()).toMatchObject({ firstSeq: 2, lastSeq: 5 });
    });

    it("a trim up to what was purged before goes on to what is left", async () => {
      await using rig = await create();
      await rig.store(OTHERS[0]);
      await rig.store(SUBJECT);
      await rig.store(OTHERS[0]);
      await rig.purge(SUBJECT);
      await rig.trim(2);
      expect(await rig.log.state()).toMatchObject({ firstSeq: 3, lastSeq: 3 });
    });

    it("the newest sequence stays when its record is purged", async () => {
      await using rig = await create();
      await rig.store(OTHERS[0]);
      await rig.store(SUBJECT);
      await rig.purge(SUBJECT);
      expect(await rig.log.state()).toMatchObject({ firstSeq: 1, lastSeq: 2 });
    });

    it("after everything was trimmed the first sequence is the one to come, and is given out then", async () => {
      await using rig = await create();
      for (let i = 0; i < 3; i++) await rig.store(SUBJECT);
      await rig.trim(4);
      expect(await rig.log.state()).toMatchObject({ firstSeq: 4, lastSeq: 3 });
      expect(await rig.store(SUBJECT)).toBe(4);
      expect(await rig.log.state()).toMatchObject({ firstSeq: 4, lastSeq: 4 });
    });

    it("after everything was purged, too", async () => {
      await using rig = await create();
      for (let i = 0; i < 3; i++) await rig.store(SUBJECT);
      await rig.purge(SUBJECT);
      expect(await rig.log.state()).toMatchObject({ firstSeq: 4, lastSeq: 3 });
    });
  });

  describe("the epoch", () => {
    it("is known from the start, and stays whatever happens to the records", async () => {
      await using rig = await create();
      const { epoch } = rig.log;
      const told: string[] = [];
      rig.log.listen((event) => told.push(event));
      expect((await rig.log.state()).epoch).toBe(epoch);
      await rig.store(SUBJECT);
      await rig.trim(2);
      expect((await rig.log.state()).epoch).toBe(epoch);
      expect([rig.log.epoch, told]).toEqual([epoch, []]);
    });

    it("of a stream made anew is another one, and was told once when state() resolves", async () => {
      await using rig = await create();
      await rig.store(SUBJECT);
      const { epoch } = await rig.log.state();
      const told: string[] = [];
      rig.log.listen((event) => told.push(`${event} ${rig.log.epoch}`));
      await rig.recreate();
      const state = await rig.log.state();
      expect(state.epoch).not.toBe(epoch);
      // It may have been made anew several times.
      expect(told.at(-1)).toBe(`recreated ${state.epoch}`);
      const again = await rig.log.state();
      expect([rig.log.epoch, again.epoch]).toEqual([state.epoch, state.epoch]);
      expect(told).toEqual([...new Set(told)]);
    });

    it("of a stream made anew while the log was away is told before state() resolves, once", async () => {
      await using rig = await create();
      const told: string[] = [];
      await rig.cut();
      await rig.recreate();
      await rig.heal();
      rig.log.listen((event) => told.push(`${event} ${rig.log.epoch}`));
      await rig.log.state().then(({ epoch }) => told.push(`resolved ${epoch}`));
      await rig.log.state();
      expect(told).toEqual([`recreated ${rig.log.epoch}`, `resolved ${rig.log.epoch}`]);
    });

    it("a stream made anew counts from 1 and has nothing of the old one", async () => {
      await using rig = await create();
      await rig.store(SUBJECT);
      await rig.store(SUBJECT, "old");
      await rig.recreate();
      await rig.store(SUBJECT, "new");
      expect(await rig.log.state()).toMatchObject({ firstSeq: 1, lastSeq: 1 });
      expect(String(Buffer.from((await rig.log.head(SUBJECT))?.data ?? []))).toBe("new");
      expect(await rig.log.at(2)).toBeUndefined();
    });
  });
}
