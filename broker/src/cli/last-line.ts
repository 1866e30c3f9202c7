import { readAt } from "./file-place.ts";
import { factsOf, type OpenFile } from "./open-file.ts";

/** How far back its beginning is looked for, bytes. */
const BACK_BYTES = 64 * 1024;

/** Where a file's last line begins, if it has no line feed yet; else its end. So a line is not begun in its middle. */
export async function startOfLastLine({ handle }: OpenFile): Promise<number> {
  const { size } = await factsOf(handle);
  const start = Math.max(0, size - BACK_BYTES);
  const bytes = await readAt(handle, start, size - start);
  const feed = bytes.lastIndexOf(10);
  if (feed >= 0) return start + feed + 1;
  return start === 0 ? 0 : start + bytes.length;
}
