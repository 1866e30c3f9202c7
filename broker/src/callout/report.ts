import type { Logger } from "../logger.ts";

const SECOND_MS = 1_000;
/** Whoever knocks may fill the log no faster. */
const LINES_A_SECOND = 20;

/** Warns, so many lines a second; how many were left out is said with the next. */
export function createReport(logger: Logger): (fields: object, line: string) => void {
  let second = Number.NEGATIVE_INFINITY;
  let lines = 0;
  let leftOut = 0;
  return (fields, line) => {
    const now = performance.now();
    if (now - second >= SECOND_MS) {
      second = now;
      lines = 0;
    }
    if (lines >= LINES_A_SECOND) {
      leftOut++;
      return;
    }
    lines++;
    logger.warn(leftOut === 0 ? fields : { ...fields, leftOut }, line);
    leftOut = 0;
  };
}
