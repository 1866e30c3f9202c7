/** What was learned lately, by key: so many entries, each until its time is over. The one used longest ago goes first. */
export class Recent<T> {
  readonly #limit: number;
  readonly #entries = new Map<string, { readonly value: T; readonly until: number }>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string, now: number): { readonly value: T } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (entry.until <= now) return undefined;
    // A Map keeps the order of insertion: this makes it the youngest.
    this.#entries.set(key, entry);
    return entry;
  }

  /** Keeps it until `until`, if that is still to come. */
  set(key: string, value: T, until: number, now: number): void {
    this.#entries.delete(key);
    if (until <= now || this.#limit <= 0) return;
    if (this.#entries.size >= this.#limit) {
      const oldest = this.#entries.keys().next();
      if (!oldest.done) this.#entries.delete(oldest.value);
    }
    this.#entries.set(key, { value, until });
  }
}
