import { plain } from "./plain.ts";

/** One line for the person at the terminal, on stderr. */
export function complain(line: string): void {
  process.stderr.write(`kata: ${plain(line)}\n`);
}
