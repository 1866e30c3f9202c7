export interface RefusalReportOptions<Code extends string> {
  /** Writes a line: the code, and how many times it came up since its last line. */
  readonly write: (code: Code, count: number) => void;
  /** Between two lines with the same code, milliseconds; default 10,000. */
  readonly everyMs?: number;
  /** Milliseconds that only grow; default `performance.now`. */
  readonly now?: () => number;
}

/** Tells refusals by code, and of each code only so often: whoever is refused must not be able to fill the log. */
export function createRefusalReport<Code extends string>(options: RefusalReportOptions<Code>): (code: Code) => void {
  const { write, everyMs = 10_000, now = () => performance.now() } = options;
  const told = new Map<Code, { at: number; untold: number }>();
  return (code) => {
    const last = told.get(code);
    const time = now();
    if (last !== undefined && time - last.at < everyMs) {
      last.untold++;
      return;
    }
    told.set(code, { at: time, untold: 0 });
    write(code, (last?.untold ?? 0) + 1);
  };
}
