import { checkOf } from "@kata/protocol/wire";
import { describe, expect, it } from "vitest";
import type { LogPage, PageRequest } from "../../broker/src/log/event-log.ts";
import { type ContractOptions, eventually, type LogRig, NEVER, OTHERS, plain, SUBJECT } from "./contract.ts";
import { describeHeads } from "./contract-heads.ts";

export function describeHistory(create: () => Promise<LogRig>, options: ContractOptions): void {
  describe("head()", () => {
    it("is the newest record of the subject, not of those that begin like it", async () => {
      await using rig = await create();
      await rig.store(SUBJECT, "old");
      await rig.store(SUBJECT, "new");
      for (const other of OTHERS) await rig.store(other, "other");
      expect(plain(await rig.log.head(SUBJECT))).toEqual({
        seq: 2,
        subject: SUBJECT,
        check: checkOf("new"),
        data: "new",
      });
    });

    it("says when it was stored", async () => {
      await using rig = await create();
      await rig.store(SUBJECT);
      const before = await rig.time();
      await rig.store(SUBJECT);
      const after = await rig.time();
      const storedAtMs = (await rig.log.head(SUBJECT))?.storedAtMs;
      expect(storedAtMs).toBeGreaterThanOrEqual(before);
      expect(storedAtMs).toBeLessThanOrEqual(after);
    });

    it("is undefined where nothing was stored, or nothing is left", async () => {
      await using rig = await create();
      expect(await rig.log.head(SUBJECT)).toBeUndefined();
      await rig.store(SUBJECT);
      await rig.store(OTHERS[0]);
      expect(await rig.log.head(NEVER)).toBeUndefined();
      await rig.purge(SUBJECT);
      expect(await rig.log.head(SUBJECT)).toBeUndefined();
      await rig.trim(3);
      expect(await rig.log.head(OTHERS[0])).toBeUndefined();
    });

    it("is what is left, or what came after, when a part was purged", async () => {
      await using rig = await create();
      for (let i = 0; i < 3; i++) await rig.store(SUBJECT);
      await rig.purge(SUBJECT, 3);
      expect((await rig.log.head(SUBJECT))?.seq).toBe(3);
      await rig.purge(SUBJECT);
      await rig.store(SUBJECT);
      expect((await rig.log.head(SUBJECT))?.seq).toBe(4);
    });
  });

  describe("at()", () => {
    it("is the record at the sequence, whatever its subject", async () => {
      await using rig = await create();
      await rig.store(SUBJECT, "1");
      for (const other of OTHERS) {
        const seq = await rig.store(other, "other");
        expect(plain(await rig.log.at(seq))).toEqual({ seq, subject: other, check: checkOf("other"), data: "other" });
      }
      expect(plain(await rig.log.at(1))).toEqual({ seq: 1, subject: SUBJECT, check: checkOf("1"), data: "1" });
    });

    it("is undefined where none was stored yet, and for what was trimmed or purged", async () => {
      await using rig = await create();
      expect(await rig.log.at(1)).toBeUndefined();
      for (const subject of [SUBJECT, OTHERS[0], SUBJECT, OTHERS[0]]) await rig.store(subject);
      expect(await rig.log.at(5)).toBeUndefined();
      expect(await rig.log.at(999_999_999_999_999)).toBeUndefined();
      await rig.trim(2);
      expect(await rig.log.at(1)).toBeUndefined();
      await rig.purge(SUBJECT);
      expect(await rig.log.at(3)).toBeUndefined();
      expect([(await rig.log.at(2))?.seq, (await rig.log.at(4))?.seq]).toEqual([2, 4]);
    });

    it("asked of many at once, gives each its own", async () => {
      await using rig = await create();
      for (let i = 1; i <= 50; i++) await rig.store(SUBJECT, `${i}`);
      const records = await Promise.all(Array.from({ length: 60 }, (_, i) => rig.log.at(i + 1)));
      expect(records.map((record) => record?.seq)).toEqual(
        Array.from({ length: 60 }, (_, i) => (i < 50 ? i + 1 : undefined)),
      );
    });

    it("is undefined before the first sequence that there can be", async () => {
      await using rig = await create();
      await rig.store(SUBJECT);
      expect(await rig.log.at(0)).toBeUndefined();
    });
  });

  describe("read()", () => {
    /** Ten records of the subject at 1, 6, 11 …, four others between. */
    const fill = async (rig: LogRig, data = "x") => {
      for (let i = 0; i < 10; i++) for (const subject of [SUBJECT, ...OTHERS]) await rig.store(subject, data);
    };
    const page = ({ records, pending }: LogPage) => [records.map(({ seq }) => seq), pending];
    const request = (asked: Partial<PageRequest>): PageRequest => {
      return { subject: SUBJECT, from: { seq: 1 }, records: 3, bytes: 1_000_000, ...asked };
    };

    it("gives at most so many, in order, of the subject alone, and tells how many stand behind", async () => {
      await using rig = await create();
      await fill(rig);
      const { log } = rig;
      expect(page(await log.read(request({})))).toEqual([[1, 6, 11], 7]);
      expect(page(await log.read(request({ from: { seq: 11 } })))).toEqual([[11, 16, 21], 5]);
      expect(page(await log.read(request({ from: { seq: 12 } })))).toEqual([[16, 21, 26], 4]);
      expect(page(await log.read(request({ from: { seq: 46 } })))).toEqual([[46], 0]);
      expect(page(await log.read(request({ records: 10 })))).toEqual([[1, 6, 11, 16, 21, 26, 31, 36, 41, 46], 0]);
      expect(page(await log.read(request({ records: 1 })))).toEqual([[1], 9]);
      expect(page(await log.read(request({ subject: OTHERS[1], from: { seq: 40 } })))).toEqual([[43, 48], 0]);
    });

    it("gives them whole", async () => {
      await using rig = await create();
      await rig.store(SUBJECT, "1");
      await rig.store(SUBJECT, "2", "id-2");
      const { records } = await rig.log.read(request({}));
      expect(records.map(plain)).toEqual([
        { seq: 1, subject: SUBJECT, check: checkOf("1"), data: "1" },
        { seq: 2, subject: SUBJECT, check: checkOf("id-2"), data: "2" },
      ]);
    });

    it("gives nothing, and nothing pending, behind the last record and of a subject without one", async () => {
      await using rig = await create();
      expect(page(await rig.log.read(request({})))).toEqual([[], 0]);
      await fill(rig);
      expect(page(await rig.log.read(request({ from: { seq: 47 } })))).toEqual([[], 0]);
      expect(page(await rig.log.read(request({ from: { seq: 1_000 } })))).toEqual([[], 0]);
      expect(page(await rig.log.read(request({ subject: NEVER })))).toEqual([[], 0]);
    });

    it("starts with the first record at or after a time", async () => {
      await using rig = await create();
      const before = await rig.time();
      await rig.store(SUBJECT);
      await rig.store(OTHERS[0]);
      const between = await rig.time();
      await rig.store(OTHERS[0]);
      await rig.store(SUBJECT);
      await rig.store(SUBJECT);
      const after = await rig.time();
      expect(page(await rig.log.read(request({ from: { timeMs: before - 1_000_000_000 } })))).toEqual([[1, 4, 5], 0]);
      expect(page(await rig.log.read(request({ from: { timeMs: before }, records: 2 })))).toEqual([[1, 4], 1]);
      expect(page(await rig.log.read(request({ from: { timeMs: between }, records: 1 })))).toEqual([[4], 1]);
      expect(page(await rig.log.read(request({ from: { timeMs: after } })))).toEqual([[], 0]);
      expect(page(await rig.log.read(request({ from: { timeMs: after + 1_000_000_000 } })))).toEqual([[], 0]);
    });

    it("gives no further record once so many bytes were read, and always one", async () => {
      await using rig = await create();
      await fill(rig, "x".repeat(1_000));
      expect(page(await rig.log.read(request({ bytes: 1 })))).toEqual([[1], 9]);
      expect(page(await rig.log.read(request({ bytes: 500 })))).toEqual([[1], 9]);
      expect(page(await rig.log.read(request({ bytes: 2_500, records: 9 })))).toEqual([[1, 6, 11], 7]);
      expect(page(await rig.log.read(request({ bytes: 2_500, records: 2 })))).toEqual([[1, 6], 8]);
      const { timeMs, bytes } = { timeMs: 0, bytes: 1_500 };
      expect(page(await rig.log.read(request({ from: { timeMs }, bytes })))).toEqual([[1, 6], 8]);
    });

    it("gives one record even for no bytes", async () => {
      await using rig = await create();
      await fill(rig);
      expect(page(await rig.log.read(request({ bytes: 0 })))).toEqual([[1], 9]);
    });

    it("starts at the first record that is left after a trim, without a word", async () => {
      await using rig = await create();
      await fill(rig);
      await rig.trim(22);
      expect(page(await rig.log.read(request({})))).toEqual([[26, 31, 36], 2]);
      expect(page(await rig.log.read(request({ from: { timeMs: 0 }, records: 1 })))).toEqual([[26], 4]);
      await rig.trim(51);
      expect(page(await rig.log.read(request({})))).toEqual([[], 0]);
    });

    it("gives what is left around a purge", async () => {
      await using rig = await create();
      await fill(rig);
      await rig.purge(SUBJECT, 30);
      await rig.purge(OTHERS[0]);
      expect(page(await rig.log.read(request({})))).toEqual([[31, 36, 41], 1]);
      expect(page(await rig.log.read(request({ subject: OTHERS[0] })))).toEqual([[], 0]);
    });
  });

  describeHeads(create, options);

  describe("a record", () => {
    it.each([
      ["bytes that are no text", Uint8Array.of(0, 255, 13, 10, 254, 128)],
      ["no bytes", new Uint8Array()],
      ["a mebibyte", new Uint8Array(1_048_576 - 100).fill(97)],
    ])("holds the stored bytes, whoever is asked: %s", async (_what, data) => {
      await using rig = await create();
      const live: unknown[] = [];
      await rig.log.live(SUBJECT, (record) => live.push(plain(record)));
      const seq = await rig.store(SUBJECT, data);
      const stored = { seq, subject: SUBJECT, check: checkOf(data), data: Buffer.from(data).toString("latin1") };
      expect(plain(await rig.log.at(seq))).toEqual(stored);
      expect(plain(await rig.log.head(SUBJECT))).toEqual(stored);
      const { records } = await rig.log.read(request1(seq));
      expect(records.map(plain)).toEqual([stored]);
      await eventually(() => live).toEqual([stored]);
    });

    it.each([
      ["the publisher's message id", "an id", "an id"],
      ["its bytes, without one", undefined, "data"],
    ])("has the same check, whoever is asked: that of %s", async (_what, id, identity) => {
      await using rig = await create();
      const live: unknown[] = [];
      await rig.log.live(SUBJECT, (record) => live.push(record?.check));
      const seq = await rig.store(SUBJECT, "data", id);
      const check = checkOf(identity);
      const { records } = await rig.log.read(request1(seq));
      expect((await rig.log.at(seq))?.check).toBe(check);
      expect((await rig.log.head(SUBJECT))?.check).toBe(check);
      expect(records[0]?.check).toBe(check);
      expect(await rig.log.heads([SUBJECT], seq)).toEqual(new Map([[SUBJECT, { seq, check }]]));
      await eventually(() => live).toEqual([check]);
    });
  });
}

function request1(seq: number): PageRequest {
  return { subject: SUBJECT, from: { seq }, records: 1, bytes: 1 };
}
