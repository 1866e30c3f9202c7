import { readdir } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { type FileFacts, type FileId, factsAt } from "./open-file.ts";

/** What a rotated log may be called behind its name: `.1`, `-20261125`, `.2026-11-25T10`. What is compressed is not read. */
const ROTATED = /^[.-]\d[\dT_.:-]*$/;

export interface Sibling extends FileFacts {
  readonly path: string;
}

/**
 * The rotated files of a log beside it, `app.log.1`, `app.log-20261125` or `app-1.log`; the one written to first comes first.
 * Looked at until they stay what they are: while app.log.2 becomes app.log.3, one of them could be seen twice and the other not at all.
 */
export async function siblingsOf(path: string): Promise<Sibling[]> {
  let before = "";
  for (;;) {
    const siblings = await lookAt(path);
    const now = siblings.map((sibling) => `${sibling.path} ${keyOf(sibling)}`).join("\n");
    if (now === before) return siblings;
    before = now;
  }
}

async function lookAt(path: string): Promise<Sibling[]> {
  const directory = dirname(path);
  const name = basename(path);
  const extension = extname(name);
  const stem = name.slice(0, name.length - extension.length);
  const rotated = (other: string) =>
    (other.startsWith(name) && ROTATED.test(other.slice(name.length))) ||
    (extension !== "" &&
      other.startsWith(stem) &&
      other.endsWith(extension) &&
      ROTATED.test(other.slice(stem.length, -extension.length)));
  const names = (await readdir(directory).catch(() => [])).filter((other) => other !== name && rotated(other));
  const found = await Promise.all(
    names.map(async (other): Promise<Sibling[]> => {
      const file = join(directory, other);
      const facts = await factsAt(file);
      return facts === undefined ? [] : [{ ...facts, path: file }];
    }),
  );
  return found.flat().sort((a, b) => a.mtimeMs - b.mtimeMs || compareNames(a.path, b.path));
}

const BY_NUMBER = new Intl.Collator("en", { numeric: true });

/** Of two that were last written to in one tick of the clock: app.log.2 is older than app.log.1, and app.log-20261124 than app.log-20261125. */
function compareNames(one: string, other: string): number {
  const counted = (path: string) => /\D\d{1,3}\D*$/.test(path) && !/\d{4}/.test(basename(path));
  return counted(one) && counted(other) ? BY_NUMBER.compare(other, one) : BY_NUMBER.compare(one, other);
}

/** A file's identity as a key. */
export function keyOf({ dev, ino, bornAt }: FileId): string {
  return `${dev} ${ino} ${bornAt}`;
}
