import type { ClassicLevel } from "classic-level";
import { damaged, SpoolError } from "./spool-error.ts";

export type Database = ClassicLevel<string, string>;
export type Change =
  | { readonly type: "put"; readonly key: string; readonly value: string }
  | { readonly type: "del"; readonly key: string };

/** What is collected in memory before LevelDB writes a table: most records are gone again by then. */
const WRITE_BUFFER_BYTES = 16 * 1024 * 1024;

/**
 * Opens LevelDB, which takes an exclusive lock. The package is loaded here and not before, so that a publisher
 * without a spool does not pay for it.
 *
 * @throws SpoolError `unsupported`, `in_use`, `damaged`, `full`, `not_writable`
 */
export async function openDatabase(directory: string): Promise<Database> {
  const { ClassicLevel } = await import("classic-level").catch((error: unknown) => {
    const why = `a spool needs the package classic-level, which cannot be loaded (${textOf(error)}): npm i classic-level`;
    throw new SpoolError("unsupported", why, error);
  });
  const database = new ClassicLevel<string, string>(directory, {
    keyEncoding: "utf8",
    valueEncoding: "utf8",
    writeBufferSize: WRITE_BUFFER_BYTES,
  });
  try {
    await database.open();
  } catch (error) {
    throw spoolErrorOf(error, directory, "not_writable");
  }
  return database;
}

/** What LevelDB failed with, for a person; `otherwise` is the code of what cannot be told better. */
export function spoolErrorOf(error: unknown, directory: string, otherwise: "not_writable" | "failed"): SpoolError {
  if (error instanceof SpoolError) return error;
  const { code, text } = reasonOf(error);
  if (code === "LEVEL_LOCKED") return lockedError(directory, error);
  if (code === "LEVEL_CORRUPTION" || /no such file/i.test(text)) return damaged(directory, text, error);
  if (/no space left|quota exceeded|file too large/i.test(text)) {
    return new SpoolError("full", `the spool ${directory} cannot grow, make room on its disk: ${text}`, error);
  }
  const what = otherwise === "failed" ? "cannot be written" : "cannot be opened";
  return new SpoolError(otherwise, `the spool ${directory} ${what}: ${text}`, error);
}

export function lockedError(directory: string, cause?: unknown): SpoolError {
  const why = `the spool ${directory} is in use by another publisher: give each a directory of its own`;
  return new SpoolError("in_use", why, cause);
}

/** LevelDB's own error is the cause of what the package throws. */
function reasonOf(error: unknown): { code: string | undefined; text: string } {
  let reason = error;
  while (reason instanceof Error && reason.cause instanceof Error) reason = reason.cause;
  const code = reason instanceof Error && "code" in reason ? String(reason.code) : undefined;
  return { code, text: textOf(reason) };
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.message.split("\n", 1)[0] ?? "") : String(error);
}
