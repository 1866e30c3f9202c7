import { basename, extname } from "node:path";

/** What a rotated log may be called behind its name: `.1`, `-20261125`, `.2026-11-25T10`. What is compressed is not read. */
const ROTATED = /^[.-]\d[\dT_.:-]*$/;
/** A number that is counted has at most so many digits; longer ones are dates and times, which all have the same length. */
const COUNTED_DIGITS = 5;
/** A day, and a number where there were several on it. */
const COUNTED_DAY = /^([.-](?:8|n([-_.])n\2n))[.-]n$/;
const BEHIND_NAME = "name";
const BEFORE_EXTENSION = "stem";

/**
 * How a log's rotated files are called, if `other` is called like one of them: `name.n` for app.log.3, `stem-n-n-n` for
 * app-2026-11-25.log. All that one program, or logrotate, makes of one log are called in the same way: other ways are other programs'.
 */
export function schemeOf(log: string, other: string): string | undefined {
  const [name, rotated, extension] = [basename(log), basename(other), extname(log)];
  if (rotated.startsWith(name)) return shaped(BEHIND_NAME, rotated.slice(name.length));
  const stem = name.slice(0, name.length - extension.length);
  if (extension === "" || !rotated.startsWith(stem) || !rotated.endsWith(extension)) return undefined;
  return shaped(BEFORE_EXTENSION, rotated.slice(stem.length, -extension.length));
}

/**
 * Whether a file that is called in this way can be a rotation of the log. Before one was seen that surely is: only with the log's whole
 * name, since app-2.log may just as well be the log of a second app.
 *
 * @param known how its rotated files are called, as far as that is known
 */
export function isRotation(scheme: string, known: string | undefined): boolean {
  return known === undefined ? scheme.startsWith(BEHIND_NAME) : scheme === known;
}

function shaped(where: string, suffix: string): string | undefined {
  if (!ROTATED.test(suffix)) return undefined;
  const shape = suffix.replace(/\d+/g, ({ length }) => (length <= COUNTED_DIGITS ? "n" : String(length)));
  return where + shape.replace(COUNTED_DAY, "$1");
}
