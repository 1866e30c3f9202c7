/**
 * The order in which the application is told. Inside `batch` nothing of the application runs; what is to be told is
 * queued and told when the outermost batch ends. So listeners never see a half-made change, and what a listener causes
 * (it may call anything) is told after what is being told now, to everybody in the same order.
 */
export class Dispatcher {
  readonly #queue: (() => void)[] = [];
  #depth = 0;
  #telling = false;

  /** Runs `work` at once, and afterwards whatever it queued; what a listener's own calls queue is told by the outer run. */
  batch<T>(work: () => T): T {
    this.#depth++;
    try {
      return work();
    } finally {
      this.#depth--;
      this.#drain();
    }
  }

  /** @param task must not throw */
  tell(task: () => void): void {
    this.#queue.push(task);
    this.#drain();
  }

  #drain(): void {
    if (this.#depth > 0 || this.#telling) return;
    this.#telling = true;
    try {
      for (let i = 0; i < this.#queue.length; i++) this.#queue[i]?.();
    } finally {
      this.#queue.length = 0;
      this.#telling = false;
    }
  }
}
