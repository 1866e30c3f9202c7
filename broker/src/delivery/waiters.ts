/** Who waits until something is so. Nothing is kept for one that stops waiting. */
export class Waiters {
  readonly #resolves = new Map<object, () => void>();

  get size(): number {
    return this.#resolves.size;
  }

  /** Resolves at the next wake(), or when this one stops waiting. One waits once at a time. */
  wait(who: object): Promise<void> {
    return new Promise((resolve) => this.#resolves.set(who, resolve));
  }

  stop(who: object): void {
    this.#resolves.get(who)?.();
    this.#resolves.delete(who);
  }

  wake(): void {
    const all = [...this.#resolves.values()];
    this.#resolves.clear();
    for (const resolve of all) resolve();
  }
}
