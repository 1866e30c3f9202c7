import fc from "fast-check";
import { expect, test } from "vitest";
import { createClient, type RealtimeClient } from "./client.ts";
import { settingsOf } from "./options.ts";
import type { SubscribeOptions } from "./subscription.ts";
import { createFakeClock } from "./testing/fake-clock.ts";
import { ModelBroker } from "./testing/model-broker.ts";
import { createTokens, type TokenCall, type Tokens } from "./testing/tokens.ts";

const CHANNELS = ["agent:a", "team:t"] as const;
const channel = fc.constantFrom(...CHANNELS);
const few = fc.integer({ min: 1, max: 4 });

type Action =
  | { readonly do: "publish"; readonly channel: string; readonly events: number }
  | { readonly do: "read" | "deliver" | "trim"; readonly count: number }
  | { readonly do: "pump"; readonly count: number; readonly perFrame: number }
  | { readonly do: "wait" | "restart"; readonly ms: number }
  | { readonly do: "garble"; readonly at: number }
  | { readonly do: "leave and return" | "leave"; readonly channel: string }
  | { readonly do: "cut" | "repeat" | "refuse" | "new client" | "reset" }
  | { readonly do: "warn" | "expire" }
  | { readonly do: "token" | "no token"; readonly call: number };

const progress: fc.WeightedArbitrary<Action>[] = [
  { weight: 6, arbitrary: fc.record({ do: fc.constant("publish" as const), channel, events: few }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("read" as const), count: few }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("pump" as const), count: few, perFrame: few }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("deliver" as const), count: few }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat(2_000) }) },
];

const faults: fc.WeightedArbitrary<Action>[] = [
  { weight: 2, arbitrary: fc.constant({ do: "cut" }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), ms: fc.nat(500) }) },
  { weight: 1, arbitrary: fc.constant({ do: "repeat" }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("garble" as const), at: fc.nat() }) },
  { weight: 1, arbitrary: fc.constant({ do: "refuse" }) },
  { weight: 1, arbitrary: fc.constant({ do: "new client" }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("leave and return" as const), channel }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("leave" as const), channel }) },
];

const renewals: fc.WeightedArbitrary<Action>[] = [
  { weight: 8, arbitrary: fc.record({ do: fc.constant("token" as const), call: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("no token" as const), call: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.constant({ do: "warn" }) },
  { weight: 2, arbitrary: fc.constant({ do: "expire" }) },
];

const losses: fc.WeightedArbitrary<Action>[] = [
  { weight: 1, arbitrary: fc.record({ do: fc.constant("trim" as const), count: few }) },
  { weight: 1, arbitrary: fc.constant({ do: "reset" }) },
];

function schedule(...kinds: fc.WeightedArbitrary<Action>[][]): fc.Arbitrary<Action[]> {
  return fc.array(fc.oneof(...kinds.flat()), { maxLength: 150, size: "max" });
}

/** A token is called by its call's place. */
function nameOf(tokens: Tokens | undefined, call: TokenCall): string {
  return String(tokens?.calls.indexOf(call));
}

interface World {
  readonly broker: ModelBroker;
  /** What the application was handed, per channel: eventIds, and "start" where a gap or a fresh start was told. */
  readonly handed: Map<string, string[]>;
  readonly client: RealtimeClient;
}

/** Runs a schedule, then lets everything heal. With `tokens` they are the credentials, else a key. */
function run(actions: readonly Action[], tokens?: Tokens): World {
  const broker = new ModelBroker();
  const clock = createFakeClock();
  const handed = new Map<string, string[]>(CHANNELS.map((name) => [name, []]));
  const credentials = tokens === undefined ? { apiKey: "k" } : { getToken: tokens.getToken, tokenTimeoutMs: 900 };
  const settings = settingsOf({ url: "ws://model", ...credentials, pingIntervalMs: 700, timeoutMs: 600 });
  let client = create();

  function create(): RealtimeClient {
    const made = createClient(settings, { clock, random: () => 0.5, openSocket: broker.openSocket });
    made.on("subscription", ({ channel: name, recovery }) => {
      if (recovery === "fresh" || recovery === "gap") handed.get(name)?.push("start");
    });
    return made;
  }
  function subscribe(name: string, from: string | undefined): void {
    const start: SubscribeOptions = from === undefined ? { rewind: "all" } : { lastEventId: from };
    client.subscribe(name, (event) => void handed.get(name)?.push(event.eventId), start);
  }
  /** An application that keeps its positions itself: in a new process, or while it was away from a channel. */
  const positions = new Map<string, string | undefined>();
  function keep(name: string): void {
    positions.set(name, client.position(name) ?? positions.get(name));
  }

  function perform(action: Action): void {
    switch (action.do) {
      case "publish":
        return broker.publish(action.channel, action.events);
      case "read":
        for (let i = 0; i < action.count; i++) broker.read();
        return;
      case "pump":
        return broker.pump(action.count, action.perFrame);
      case "deliver":
        return broker.deliver(action.count);
      case "wait":
        return clock.advance(action.ms);
      case "cut":
        return broker.cut();
      case "restart":
        return broker.restart(action.ms);
      case "repeat":
        return broker.repeatFrame();
      case "garble":
        return broker.garble(action.at);
      case "refuse":
        return broker.refuseNext();
      case "trim":
        return broker.trim(action.count);
      case "reset":
        return broker.reset();
      case "warn":
        return broker.warn();
      case "expire":
        return broker.expire();
      case "token":
      case "no token": {
        const call = tokens?.pending.at(-1 - action.call);
        if (action.do === "no token") return call?.throws(new Error("down"));
        return call?.returns(nameOf(tokens, call));
      }
      case "leave and return":
        keep(action.channel);
        client.unsubscribe(action.channel);
        return subscribe(action.channel, positions.get(action.channel));
      case "leave":
        keep(action.channel);
        return client.unsubscribe(action.channel);
      case "new client":
        for (const name of CHANNELS) keep(name);
        client.close();
        expect(clock.pending).toBe(0);
        client = create();
        for (const name of CHANNELS) subscribe(name, positions.get(name));
        void client.connect();
        return;
    }
  }

  for (const name of CHANNELS) subscribe(name, undefined);
  void client.connect();
  for (const action of actions) perform(action);
  for (const name of CHANNELS) {
    keep(name);
    // Whoever left comes back, so that the end can be compared.
    client.unsubscribe(name);
    subscribe(name, positions.get(name));
  }
  for (let i = 0; i < 60; i++) {
    for (const call of tokens?.pending ?? []) call.returns(nameOf(tokens, call));
    for (let j = 0; j < 6; j++) broker.read();
    broker.pump(1_000, 3);
    broker.deliver(1_000);
    clock.advance(500);
  }
  return { broker, handed, client };
}

test("whatever happens in between, the application is handed exactly the log, once and in order", () => {
  fc.assert(
    fc.property(schedule(progress, faults), (actions) => {
      const { broker, handed, client } = run(actions);
      for (const name of CHANNELS) {
        const events = handed.get(name)?.filter((one) => one !== "start");
        expect(events).toEqual(broker.history.get(name) ?? []);
      }
      expect(client.status).toBe("connected");
    }),
    { numRuns: 400 },
  );
});

test("with getToken, whatever happens to its calls: the same, and no token is presented twice or after a newer one", () => {
  let renewed = 0;
  fc.assert(
    fc.property(schedule(progress, faults, renewals), (actions) => {
      const tokens = createTokens();
      const { broker, handed, client } = run(actions, tokens);
      for (const name of CHANNELS) {
        expect(handed.get(name)?.filter((one) => one !== "start")).toEqual(broker.history.get(name) ?? []);
      }
      expect(client.status).toBe("connected");
      const presented = broker.presented.map(Number);
      expect(presented).toEqual([...new Set(presented)].sort((a, b) => a - b));
      renewed += presented.length - broker.connections;
    }),
    { numRuns: 400 },
  );
  expect(renewed).toBeGreaterThan(0);
});

test("where history is lost, nothing is missing and nothing comes twice except behind a gap that was told", () => {
  fc.assert(
    fc.property(schedule(progress, faults, losses), (actions) => {
      const { broker, handed } = run(actions);
      for (const name of CHANNELS) {
        const history = broker.history.get(name) ?? [];
        let next = 0;
        let mayMiss = false;
        for (const one of handed.get(name) ?? []) {
          if (one === "start") {
            mayMiss = true;
            continue;
          }
          const place = history.indexOf(one);
          expect(place).toBeGreaterThanOrEqual(next);
          if (place > next) expect(mayMiss).toBe(true);
          next = place + 1;
          mayMiss = false;
        }
        if (next < history.length) expect(mayMiss).toBe(true);
      }
    }),
    { numRuns: 400 },
  );
});
