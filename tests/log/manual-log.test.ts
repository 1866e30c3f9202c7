import { describe, expect, it } from "vitest";
import { LogUnavailableError } from "../../broker/src/log/event-log.ts";
import { MemoryLog, settle } from "../../broker/src/testing/memory-log.ts";
import { MemoryStream } from "../../broker/src/testing/memory-stream.ts";
import { OTHERS, SUBJECT } from "./contract.ts";

// The tools that schedules are made of: nothing comes by itself.

/** A manual log with a live feed of the subject, and what came over it. */
async function createFollowed(stream = new MemoryStream()) {
  const log = new MemoryLog({ stream });
  const got: (number | undefined)[] = [];
  const feed = await log.live(SUBJECT, (record) => got.push(record?.seq));
  log.manual = true;
  return { log, got, feed };
}

describe("answers in manual mode", () => {
  it("wait until the test lets each arrive, in any order", async () => {
    const log = new MemoryLog({ manual: true });
    const order: string[] = [];
    log.store(SUBJECT, "1");
    void log.at(1).then(() => order.push("at"));
    void log.head(SUBJECT).then(() => order.push("head"));
    void log.state().then(() => order.push("state"));
    await settle();
    expect([log.pendingAnswers, log.pendingQuestions, order]).toEqual([3, ["at", "head", "state"], []]);
    log.answer(1);
    await settle();
    expect([log.pendingQuestions, order]).toEqual([["at", "state"], ["head"]]);
    log.answer(1);
    await settle();
    log.answer();
    await settle();
    expect([log.pendingAnswers, order]).toEqual([0, ["head", "state", "at"]]);
    expect(() => log.answer()).toThrow(RangeError);
  });

  it("tell what was true when they were asked for, or when they arrive", async () => {
    const log = new MemoryLog({ manual: true });
    log.store(SUBJECT, "1");
    const heads = [log.head(SUBJECT), log.head(SUBJECT)];
    const page = log.read({ subject: SUBJECT, from: { seq: 1 }, records: 9, bytes: 1_000 });
    log.store(SUBJECT, "2");
    log.trim(2);
    log.answer(0, "asked");
    log.answer(0, "arrives");
    log.answer(0, "asked");
    expect((await Promise.all(heads)).map((head) => head?.seq)).toEqual([1, 2]);
    expect((await page).records.map(({ seq }) => seq)).toEqual([1]);
  });

  it("of the state tell of a stream made anew when they arrive", async () => {
    const log = new MemoryLog({ manual: true });
    const told: string[] = [];
    log.listen((event) => told.push(event));
    log.recreate("b");
    const states = [log.state(), log.state()];
    expect(told).toEqual([]);
    log.answer();
    expect((await states[0])?.epoch).toBe("b");
    expect([log.epoch, told]).toEqual(["b", ["recreated"]]);
  });

  it("of a new feed decide from when on it is fed", async () => {
    for (const computed of ["asked", "arrives"] as const) {
      const log = new MemoryLog({ manual: true });
      const got: unknown[] = [];
      const asked = log.live(SUBJECT, (record) => got.push(record?.seq));
      log.store(SUBJECT, "1");
      log.answer(0, computed);
      await asked;
      log.store(SUBJECT, "2");
      log.deliverLive(2);
      expect(got).toEqual(computed === "asked" ? [1, 2] : [2]);
    }
  });

  it("fail when the connection is cut, and so does what is asked until it heals", async () => {
    const log = new MemoryLog({ manual: true });
    const told: unknown[] = [];
    log.listen((event) => told.push(event, log.connected));
    const before = expect(log.state()).rejects.toBeInstanceOf(LogUnavailableError);
    log.cut();
    log.cut();
    await before;
    await expect(log.at(1)).rejects.toBeInstanceOf(LogUnavailableError);
    expect(log.pendingAnswers).toBe(0);
    log.heal();
    log.heal();
    const state = log.state();
    log.answer();
    expect((await state).lastSeq).toBe(0);
    expect(told).toEqual(["disconnected", false, "reconnected", true]);
    expect(log.asked).toMatchObject({ state: 2, at: 1 });
  });
});

describe("the live feed in manual mode", () => {
  it("brings the next records when the test says so, in order, and only those that somebody follows", async () => {
    const { log, got } = await createFollowed();
    for (const subject of [SUBJECT, OTHERS[0], SUBJECT, SUBJECT]) log.store(subject, "x");
    log.store(SUBJECT, "never republished", { live: false });
    expect([log.pendingLive, got]).toEqual([3, []]);
    log.deliverLive();
    expect([log.pendingLive, got]).toEqual([2, [1]]);
    log.deliverLive(9);
    expect([log.pendingLive, got]).toEqual([0, [1, 3, 4]]);
  });

  it("loses the next one", async () => {
    const { log, got } = await createFollowed();
    for (let i = 0; i < 3; i++) log.store(SUBJECT, "x");
    log.deliverLive();
    log.dropLive();
    log.deliverLive(log.pendingLive);
    log.dropLive();
    expect(got).toEqual([1, 3]);
  });

  it("brings what the test sends, readable or not, in the same order", async () => {
    const { log, got } = await createFollowed();
    const late = log.store(SUBJECT, "x", { live: false });
    log.store(SUBJECT, "x");
    log.garble(SUBJECT);
    log.republish(late);
    log.deliverLive(3);
    expect(got).toEqual([2, undefined, 1]);
  });

  it("brings nothing to a feed that was closed meanwhile, nor to one that came later", async () => {
    const { log, got, feed } = await createFollowed();
    const later: unknown[] = [];
    log.store(SUBJECT, "x");
    feed.close();
    log.store(SUBJECT, "x");
    expect(log.pendingLive).toBe(1);
    void log.live(SUBJECT, (record) => later.push(record?.seq));
    log.store(SUBJECT, "x");
    log.deliverLive(2);
    expect([got, later]).toEqual([[], [3]]);
  });

  it("of a connection that is cut loses what is under way, and what is stored meanwhile never comes", async () => {
    const { log, got } = await createFollowed();
    log.store(SUBJECT, "x");
    log.cut();
    log.store(SUBJECT, "x");
    expect(log.pendingLive).toBe(0);
    log.heal();
    log.store(SUBJECT, "x");
    log.deliverLive(log.pendingLive);
    expect(got).toEqual([3]);
  });

  it("belongs to one connection: another one to the same stream goes its own way", async () => {
    const stream = new MemoryStream();
    const one = await createFollowed(stream);
    const two = await createFollowed(stream);
    one.log.store(SUBJECT, "x");
    two.log.cut();
    two.log.heal();
    one.log.store(SUBJECT, "x");
    one.log.deliverLive(2);
    two.log.deliverLive(2);
    expect([one.got, two.got]).toEqual([[1, 2], [2]]);
  });
});

it("when manual mode ends, everything that waits comes", async () => {
  const { log, got } = await createFollowed();
  const head = log.head(SUBJECT);
  log.store(SUBJECT, "x");
  log.manual = false;
  expect([log.pendingAnswers, log.pendingLive, got]).toEqual([0, 0, [1]]);
  expect((await head)?.seq).toBe(1);
  log.store(SUBJECT, "x");
  expect(got).toEqual([1, 2]);
  expect((await log.state()).lastSeq).toBe(2);
});
