import { expect, test } from "vitest";
import {
  type ConnectionInput,
  type ConnectionState,
  type ConnectionStep,
  closeInput,
  INITIAL_CONNECTION,
  nextConnection,
} from "./connection-state.ts";

const policy = { backoff: { minMs: 250, maxMs: 10_000 }, random: () => 1 };

const INPUTS: { readonly [T in ConnectionInput["type"]]: Extract<ConnectionInput, { type: T }> } = {
  connect: { type: "connect" },
  fetched: { type: "fetched" },
  opened: { type: "opened" },
  answered: { type: "answered" },
  lasted: { type: "lasted" },
  slot: { type: "slot", afterMs: 700 },
  lost: { type: "lost", blame: false },
  refused: { type: "refused" },
  due: { type: "due" },
  close: { type: "close" },
};

type Row = Record<ConnectionInput["type"], ConnectionStep>;

// Written out: a new step or input does not compile until somebody has said what happens.
const EXPECTED: Record<ConnectionStep, Row> = {
  idle: {
    connect: "fetching",
    fetched: "idle",
    opened: "idle",
    answered: "idle",
    lasted: "idle",
    slot: "idle",
    lost: "idle",
    refused: "idle",
    due: "idle",
    close: "closed",
  },
  fetching: {
    connect: "fetching",
    fetched: "opening",
    opened: "fetching",
    answered: "fetching",
    lasted: "fetching",
    slot: "fetching",
    lost: "waiting",
    refused: "fetching",
    due: "fetching",
    close: "closed",
  },
  opening: {
    connect: "opening",
    fetched: "opening",
    opened: "greeting",
    answered: "opening",
    lasted: "opening",
    slot: "opening",
    lost: "waiting",
    refused: "failed",
    due: "opening",
    close: "closed",
  },
  greeting: {
    connect: "greeting",
    fetched: "greeting",
    opened: "greeting",
    answered: "connected",
    lasted: "greeting",
    slot: "greeting",
    lost: "waiting",
    refused: "failed",
    due: "greeting",
    close: "closed",
  },
  connected: {
    connect: "connected",
    fetched: "connected",
    opened: "connected",
    answered: "connected",
    lasted: "connected",
    slot: "connected",
    lost: "waiting",
    refused: "failed",
    due: "connected",
    close: "closed",
  },
  waiting: {
    connect: "waiting",
    fetched: "waiting",
    opened: "waiting",
    answered: "waiting",
    lasted: "waiting",
    slot: "waiting",
    lost: "waiting",
    refused: "waiting",
    due: "fetching",
    close: "closed",
  },
  failed: {
    connect: "fetching",
    fetched: "failed",
    opened: "failed",
    answered: "failed",
    lasted: "failed",
    slot: "failed",
    lost: "failed",
    refused: "failed",
    due: "failed",
    close: "closed",
  },
  closed: {
    connect: "closed",
    fetched: "closed",
    opened: "closed",
    answered: "closed",
    lasted: "closed",
    slot: "closed",
    lost: "closed",
    refused: "closed",
    due: "closed",
    close: "closed",
  },
};

function state(step: ConnectionStep, more: Partial<ConnectionState> = {}): ConnectionState {
  return { ...INITIAL_CONNECTION, step, ...more };
}

for (const [step, row] of Object.entries(EXPECTED)) {
  for (const [input, expected] of Object.entries(row)) {
    test(`${step} + ${input} → ${expected}`, () => {
      const next = nextConnection(state(step as ConnectionStep), INPUTS[input as ConnectionInput["type"]], policy);
      expect(next.step).toBe(expected);
    });
  }
}

test("an input that means nothing leaves the very same state", () => {
  const before = state("waiting", { failures: 3, delayMs: 17 });
  expect(nextConnection(before, INPUTS.lost, policy)).toBe(before);
});

test("attempts that come to nothing wait longer and longer, whether the socket opened or not", () => {
  let now = nextConnection(INITIAL_CONNECTION, INPUTS.connect, policy);
  const delays: number[] = [];
  for (let i = 0; i < 8; i++) {
    now = nextConnection(now, INPUTS.fetched, policy);
    if (i % 2 === 1) now = nextConnection(now, INPUTS.opened, policy);
    now = nextConnection(now, INPUTS.lost, policy);
    delays.push(now.delayMs);
    now = nextConnection(now, INPUTS.due, policy);
  }
  expect(delays).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
});

test("a connection on which the broker answered starts the backoff anew", () => {
  expect(nextConnection(state("connected", { failures: 6 }), INPUTS.lost, policy)).toMatchObject({
    delayMs: 250,
    failures: 1,
  });
});

test("one that ended by this side's own fault does not", () => {
  const blamed = nextConnection(state("connected", { failures: 4 }), { type: "lost", blame: true }, policy);
  expect(blamed).toMatchObject({ delayMs: 4_000, failures: 5 });
});

test("credentials that cannot be fetched are an attempt that failed", () => {
  let now = nextConnection(INITIAL_CONNECTION, INPUTS.connect, policy);
  const delays: number[] = [];
  for (let i = 0; i < 3; i++) {
    now = nextConnection(now, INPUTS.lost, policy);
    delays.push(now.delayMs);
    now = nextConnection(now, INPUTS.due, policy);
  }
  expect(delays).toEqual([250, 500, 1_000]);
});

test("a fault of this side's own is forgotten once the credentials have lasted", () => {
  const lasted = nextConnection(state("connected", { failures: 4 }), INPUTS.lasted, policy);
  expect(lasted).toEqual(state("connected"));
  expect(nextConnection(lasted, INPUTS.lasted, policy)).toBe(lasted);
});

test.each([
  [1006, true, { type: "lost", blame: false }],
  [1006, false, { type: "lost", blame: false }],
  [4401, true, { type: "lost", blame: true }],
  [4401, false, { type: "refused" }],
  [4412, true, { type: "lost", blame: false }],
  [4429, true, { type: "lost", blame: true }],
  [4503, true, { type: "refused" }],
  [4503, false, { type: "refused" }],
])("[CLOSE-1] what %i means where other credentials can be had: %s", (closeCode, renewable, input) => {
  expect(closeInput(closeCode, renewable)).toEqual(input);
});

test("[CLOSE-3] a slot is waited out instead of the backoff, which does not grow", () => {
  const told = nextConnection(state("connected", { failures: 2 }), INPUTS.slot, policy);
  expect(told).toMatchObject({ step: "connected", slotMs: 700 });
  const waiting = nextConnection(told, INPUTS.lost, policy);
  expect(waiting).toEqual({ step: "waiting", failures: 0, delayMs: 700, slotMs: undefined });
  const again = nextConnection(nextConnection(waiting, INPUTS.due, policy), INPUTS.lost, policy);
  expect(again).toMatchObject({ delayMs: 250, slotMs: undefined });
});

test("a slot that came before the broker answered counts too, and one of an ended connection does not", () => {
  const told = nextConnection(nextConnection(state("greeting"), INPUTS.slot, policy), INPUTS.answered, policy);
  expect(nextConnection(told, INPUTS.lost, policy).delayMs).toBe(700);
  const refused = nextConnection(told, INPUTS.refused, policy);
  expect(refused.slotMs).toBeUndefined();
});
