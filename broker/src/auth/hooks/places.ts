/** Lets so many pieces of work run at a time. Others wait in order, so many of them; further ones are turned away. */
export class Places {
  readonly #limit: number;
  readonly #maxWaiting: number;
  readonly #waiting: ((place: boolean) => void)[] = [];
  #taken = 0;

  constructor(limit: number, maxWaiting: number) {
    this.#limit = limit;
    this.#maxWaiting = maxWaiting;
  }

  /** Whether a place was got within `withinMs` milliseconds; whoever got one must {@link leave} it. */
  async take(withinMs: number): Promise<boolean> {
    if (this.#taken < this.#limit) {
      this.#taken++;
      return true;
    }
    if (this.#waiting.length >= this.#maxWaiting) return false;
    return new Promise((resolve) => {
      const waiting = (place: boolean) => {
        clearTimeout(timer);
        resolve(place);
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        resolve(false);
      }, withinMs);
      this.#waiting.push(waiting);
    });
  }

  leave(): void {
    const next = this.#waiting.shift();
    // The place is handed on.
    if (next === undefined) this.#taken--;
    else next(true);
  }
}
