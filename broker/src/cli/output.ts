/** How much may wait for whoever reads our output, bytes. */
const FULL_BYTES = 4 * 1024 * 1024;

/** What is used of stdout. */
export interface Sink {
  write(text: string): unknown;
  once(event: "drain", listener: () => void): unknown;
  readonly writableLength: number;
}

/** Lines for stdout. What is written in one tick goes out in one write. */
export interface Output {
  write(line: string): void;
  /** Whether enough is waiting: whoever writes should stop, and go on at `whenDrained`. */
  readonly full: boolean;
  /** Calls `go` once everything has been taken. Only while full. */
  whenDrained(go: () => void): void;
}

export function createOutput(sink: Sink, fullBytes = FULL_BYTES): Output {
  let lines: string[] = [];
  let length = 0;
  const flush = () => {
    const text = lines.join("");
    lines = [];
    length = 0;
    sink.write(text);
  };
  return {
    write(line) {
      if (lines.length === 0) process.nextTick(flush);
      lines.push(line, "\n");
      length += line.length + 1;
    },
    get full() {
      return length + sink.writableLength >= fullBytes;
    },
    whenDrained(go) {
      // Behind the flush of this tick: a sink that takes all of it at once has nothing to drain.
      process.nextTick(() => {
        if (sink.writableLength === 0) go();
        else sink.once("drain", go);
      });
    },
  };
}
