/**
 * Many who ask the same at about the same time share one answer. Whoever comes while a question is under way shares the
 * next one: an answer is never older than the question of the one who gets it.
 */
export class Fresh<T> {
  readonly #ask: () => Promise<T>;
  #running: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  constructor(ask: () => Promise<T>) {
    this.#ask = ask;
  }

  /** Whether nobody asks or waits. */
  get idle(): boolean {
    return this.#running === undefined;
  }

  ask(): Promise<T> {
    const running = this.#running;
    if (running === undefined) return this.#start();
    this.#next ??= running.then(
      () => this.#start(),
      () => this.#start(),
    );
    return this.#next;
  }

  #start(): Promise<T> {
    this.#next = undefined;
    const running = this.#ask();
    this.#running = running;
    const done = () => {
      if (this.#running === running && this.#next === undefined) this.#running = undefined;
    };
    running.then(done, done);
    return running;
  }
}

/** {@link Fresh} answers to many questions, each kept only while somebody waits for it. */
export class FreshAnswers<K> {
  readonly #answers = new Map<K, Fresh<unknown>>();

  /** @param ask always the same for one `key` */
  async ask<T>(key: K, ask: () => Promise<T>): Promise<T> {
    let fresh = this.#answers.get(key) as Fresh<T> | undefined;
    if (fresh === undefined) {
      fresh = new Fresh(ask);
      this.#answers.set(key, fresh);
    }
    try {
      return await fresh.ask();
    } finally {
      if (fresh.idle && this.#answers.get(key) === fresh) this.#answers.delete(key);
    }
  }
}
