import { expect, test } from "vitest";
import { type Sender, Turns } from "./turns.ts";

function rig(limit: number) {
  const sent: string[] = [];
  const limits = { now: limit };
  const turns = new Turns(() => limits.now);
  const sender = (name: string, records: number): Sender => {
    const self = {
      advance() {
        if (records > 0 && turns.take(self)) {
          records--;
          sent.push(name);
        }
      },
    };
    return self;
  };
  const arrived = (): void => {
    turns.give();
    turns.call();
  };
  return { turns, sent, sender, arrived, limits };
}

test("so many send at a time, in the order in which they asked", () => {
  const { sent, sender, arrived } = rig(2);
  for (const name of ["a", "b", "c", "d"]) sender(name, 1).advance();
  expect(sent).toEqual(["a", "b"]);
  arrived();
  expect(sent).toEqual(["a", "b", "c"]);
  arrived();
  arrived();
  expect(sent).toEqual(["a", "b", "c", "d"]);
});

test("what fails as soon as it is sent is over, however many wait: they do not call each other", () => {
  const { turns, limits } = rig(0);
  let over = 0;
  for (let i = 0; i < 20_000; i++) {
    const failing: Sender = {
      advance() {
        if (!turns.take(failing)) return;
        over++;
        turns.give();
        turns.call();
      },
    };
    failing.advance();
  }
  limits.now = 1;
  turns.call();
  expect(over).toBe(20_000);
});

test("one that throws keeps nobody from their turn", () => {
  const { turns, sent, sender, limits } = rig(0);
  const broken: Sender = {
    advance() {
      if (turns.take(broken)) throw new Error("broken");
    },
  };
  broken.advance();
  sender("b", 1).advance();
  limits.now = 2;
  expect(() => turns.call()).toThrow("broken");
  turns.call();
  expect(sent).toEqual(["b"]);
});

test("one that always has more gets in line behind those who wait", () => {
  const { turns, sent, sender } = rig(1);
  const busy = sender("busy", 3);
  busy.advance();
  sender("b", 1).advance();
  sender("c", 1).advance();
  for (let i = 0; i < 5; i++) {
    turns.give();
    busy.advance();
    turns.call();
  }
  expect(sent).toEqual(["busy", "b", "c", "busy", "busy"]);
});

test("one whose turn comes with nothing to send does not keep it", () => {
  const { turns, sent, sender, arrived } = rig(1);
  sender("a", 1).advance();
  const taken = { advance() {} };
  expect(turns.take(taken)).toBe(false);
  sender("c", 1).advance();
  arrived();
  expect(sent).toEqual(["a", "c"]);
});

test("the limit counts as it is now", () => {
  const { turns, sent, sender, limits } = rig(1);
  for (const name of ["a", "b", "c"]) sender(name, 1).advance();
  limits.now = 3;
  turns.call();
  expect(sent).toEqual(["a", "b", "c"]);
});

test("one that has nothing to send any more is not called", () => {
  const { turns, sent, sender, limits } = rig(0);
  const [a, b] = [sender("a", 1), sender("b", 1)];
  a.advance();
  b.advance();
  turns.forget(a);
  limits.now = 2;
  turns.call();
  expect(sent).toEqual(["b"]);
});
