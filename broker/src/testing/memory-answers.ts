import { LogUnavailableError } from "../log/event-log.ts";

/** The questions of the port. */
export type Asked = "state" | "head" | "at" | "read" | "heads" | "live";

/** Whose truth an answer tells: that of the moment it was asked for, or that of its arrival. Both happen. */
export type Computed = "asked" | "arrives";

interface Question {
  readonly asked: Asked;
  answer(computed: Computed): void;
  fail(error: LogUnavailableError): void;
}

/** The answers that are under way on one connection: they come by themselves, later, or when the test says so. */
export class MemoryAnswers {
  /** How often each question was asked. */
  readonly asked: Record<Asked, number> = { state: 0, head: 0, at: 0, read: 0, heads: 0, live: 0 };
  manual = false;
  readonly #gates = new Map<Asked, Promise<void>>();
  readonly #underWay: Question[] = [];

  /** What was asked for and has not been answered, in order. */
  get underWay(): readonly Asked[] {
    return this.#underWay.map(({ asked }) => asked);
  }

  ask<T>(asked: Asked, compute: () => T): Promise<T> {
    const value = compute();
    return new Promise((resolve, reject) => {
      const question: Question = {
        asked,
        answer: (computed) => resolve(computed === "asked" ? value : compute()),
        fail: reject,
      };
      this.#underWay.push(question);
      if (!this.manual) void this.#answerLater(question);
    });
  }

  /** Answers of this kind that do not wait for the test are held back until the returned function is called. */
  hold(asked: Asked): () => void {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#gates.set(asked, gate);
    return () => {
      if (this.#gates.get(asked) === gate) this.#gates.delete(asked);
      open();
    };
  }

  letPass(asked: Asked): void {
    this.#gates.delete(asked);
  }

  answer(index: number, computed: Computed): void {
    const [question] = this.#underWay.splice(index, 1);
    if (question === undefined) throw new RangeError(`no question ${index} waits`);
    question.answer(computed);
  }

  /** All that are under way are lost. */
  fail(message: string): void {
    for (const question of this.#underWay.splice(0)) question.fail(new LogUnavailableError(message));
  }

  async #answerLater(question: Question): Promise<void> {
    await (this.#gates.get(question.asked) ?? nextTurn());
    const index = this.#underWay.indexOf(question);
    if (index >= 0) this.answer(index, "asked");
  }
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
