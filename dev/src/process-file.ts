import { readFile } from "node:fs/promises";
import { z } from "zod";
import { identityOf } from "./process-identity.ts";

const ProcessFileSchema = z.object({ pid: z.number(), identity: z.string() });

/** A process as it is written down in the data directory. */
export type ProcessFile = z.infer<typeof ProcessFileSchema>;

/** A process's text for such a file. Throws if it has ended. */
export async function describeProcess(pid: number): Promise<string> {
  const identity = await identityOf(pid);
  if (identity === undefined) throw new Error(`process ${pid} has ended`);
  return `${JSON.stringify({ pid, identity } satisfies ProcessFile)}\n`;
}

/** The process that the file at `path` names, if it still runs; one that merely has its pid does not count. */
export async function readLiveProcess(path: string): Promise<ProcessFile | undefined> {
  const written = parse(await readFile(path, "utf8").catch(() => ""));
  if (written === undefined) return undefined;
  return (await identityOf(written.pid)) === written.identity ? written : undefined;
}

function parse(text: string): ProcessFile | undefined {
  try {
    return ProcessFileSchema.parse(JSON.parse(text));
  } catch {
    // A file of another form names nobody.
    return undefined;
  }
}
