/** Time as delivery sees it, so that a test can hold it in its hand. */
export interface Clock {
  /** Calls `work` once after `ms` milliseconds unless the returned function is called first. Keeps no process alive. */
  after(ms: number, work: () => void): () => void;
  /** Evenly in [0, 1): spreads what many do after the same event. */
  random(): number;
}

export const SYSTEM_CLOCK: Clock = {
  after(ms, work) {
    const timer = setTimeout(work, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
  random: Math.random,
};
