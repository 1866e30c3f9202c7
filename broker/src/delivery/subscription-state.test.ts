import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  INITIAL,
  type Input,
  NEXT_PHASE,
  next,
  type Phase,
  placeNow,
  type SubscriptionState,
} from "./subscription-state.ts";

const at = (seq: number) => ({ seq, check: "abcd", line: 0 });
const place = (seq: number) => ({ epoch: "a", position: at(seq), startId: `a-${seq}-abcd`, moved: false });

/** A value of each input, for a channel whose end is at 9. */
const INPUTS: Readonly<Record<Input["type"], Input>> = {
  located: { type: "located", place: place(5) },
  sent: { type: "sent", position: at(6) },
  full: { type: "full" },
  drained: { type: "drained" },
  joined: { type: "joined" },
  "fell behind": { type: "fell behind", end: at(9) },
  "end lost": { type: "end lost", end: at(3) },
  lost: { type: "lost", end: at(9) },
  closed: { type: "closed", end: at(9) },
};

function after(...types: Input["type"][]): SubscriptionState {
  return types.reduce((state, type) => next(state, INPUTS[type]), INITIAL);
}

describe("the way of a subscription", () => {
  it.each<[string, Input["type"][], Phase]>([
    ["it catches up once it knows where", ["located"], "catching up"],
    ["it rests while the socket is full", ["located", "full"], "paused"],
    ["it goes on when the socket took some", ["located", "full", "drained"], "catching up"],
    ["at the head it is live", ["located", "joined"], "live"],
    ["live, a full socket makes it rest outside the live feed", ["located", "joined", "fell behind"], "paused"],
    ["and come back", ["located", "joined", "fell behind", "drained", "joined"], "live"],
    ["wherever it is, a lost place is looked for anew", ["located", "full", "lost"], "locating"],
    ["it ends once", ["located", "closed", "located", "joined"], "closed"],
  ])("%s", (_what, inputs, phase) => {
    expect(after(...inputs).phase).toBe(phase);
  });

  it("what the table says is what happens, for every phase and input", () => {
    for (const [phase, row] of Object.entries(NEXT_PHASE)) {
      for (const input of Object.values(INPUTS)) {
        const state: SubscriptionState = {
          phase: phase as Phase,
          place: place(5),
          caughtUpDue: true,
          everCaughtUp: false,
        };
        expect(next(state, input).phase, `${phase}, ${input.type}`).toBe(row[input.type]);
      }
    }
  });

  it("a value is never changed: an input makes another one", () => {
    const types = fc.constantFrom(...Object.values(INPUTS));
    fc.assert(
      fc.property(fc.array(types), (inputs) => {
        let state = Object.freeze(INITIAL);
        for (const input of inputs) state = Object.freeze(next(state, input));
      }),
    );
  });
});

describe("the place of a subscription", () => {
  it("moves with what was sent, and with the channel while it is live", () => {
    expect(placeNow(after("located", "sent"), at(9))?.position.seq).toBe(6);
    expect(placeNow(after("located", "joined"), at(9))?.position.seq).toBe(9);
    expect(after("located", "joined", "fell behind").place?.position.seq).toBe(9);
    expect(after("located", "joined", "closed").place?.position.seq).toBe(9);
  });

  it("is not moved back by a channel that is not yet where the reader started", () => {
    const state = next(after("located"), { type: "joined" });
    expect(placeNow(state, at(3))?.position.seq).toBe(5);
    expect(next(state, { type: "lost", end: at(3) }).place?.position.seq).toBe(5);
  });

  it("moves back where the log lost what lies behind, and only then", () => {
    const live = after("located", "joined", "end lost");
    expect([live.phase, live.place?.position.seq, placeNow(live, at(4))?.position.seq]).toEqual(["live", 3, 4]);
    expect(after("located", "full", "end lost").place).toMatchObject({ position: at(3), moved: true });
    const before = after("located", "full");
    expect(next(before, { type: "end lost", end: at(5) })).toBe(before);
  });

  it("does not move where nothing is sent", () => {
    for (const types of [
      ["located", "full"],
      ["located", "joined"],
      ["located", "lost"],
    ] as const) {
      const state = after(...types);
      expect(next(state, INPUTS.sent)).toBe(state);
    }
  });

  it("[CAUGHTUP-1] caught_up is due once a start, not after falling behind", () => {
    expect(after("located").caughtUpDue).toBe(true);
    expect(after("located", "joined").caughtUpDue).toBe(false);
    expect(after("located", "joined", "fell behind", "drained").caughtUpDue).toBe(false);
    expect(after("located", "joined", "lost", "located")).toMatchObject({ caughtUpDue: true, everCaughtUp: true });
  });
});
