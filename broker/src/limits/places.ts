/** Counts what is there by key, up to a limit. What is remembered is as much as what is there. */
export class Places {
  readonly #limit: number;
  readonly #taken = new Map<string, number>();

  /** 0: no limit. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#taken.size;
  }

  full(key: string): boolean {
    return this.#limit > 0 && (this.#taken.get(key) ?? 0) >= this.#limit;
  }

  take(key: string): void {
    this.#taken.set(key, (this.#taken.get(key) ?? 0) + 1);
  }

  leave(key: string): void {
    const left = (this.#taken.get(key) ?? 0) - 1;
    if (left > 0) this.#taken.set(key, left);
    else this.#taken.delete(key);
  }
}
