import { createHash } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type FileFacts, type FileId, factsAt } from "./open-file.ts";
import { schemeOf } from "./rotation-scheme.ts";

/** So much of a digest tells the files of a directory apart; the state is written with it at every batch. */
const KEY_CHARACTERS = 12;

export interface Sibling extends FileFacts {
  readonly path: string;
  /** In which way it is called: {@link schemeOf}. */
  readonly scheme: string;
}

/**
 * The files beside a log that may be its rotated ones, `app.log.1`, `app.log-20261125` or `app-1.log`; the one written to first comes first.
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
  const names = await readdir(directory).catch(() => []);
  const found = await Promise.all(
    names.map(async (name): Promise<Sibling[]> => {
      const scheme = schemeOf(path, name);
      if (scheme === undefined) return [];
      const file = join(directory, name);
      const facts = await factsAt(file);
      return facts === undefined ? [] : [{ ...facts, path: file, scheme }];
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

/** When a file beside a log was last made, renamed or removed; `undefined` if that cannot be known. */
export async function changedBeside(path: string): Promise<bigint | undefined> {
  return (await stat(dirname(path), { bigint: true }).catch(() => undefined))?.mtimeNs;
}

/** A file's identity as a key, short. */
export function keyOf({ dev, ino, bornAt }: FileId): string {
  return createHash("sha256").update(`${dev} ${ino} ${bornAt}`).digest("base64url").slice(0, KEY_CHARACTERS);
}
