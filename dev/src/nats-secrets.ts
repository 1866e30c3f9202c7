import { readFile } from "node:fs/promises";
import { createNatsSecrets, type NatsSecrets } from "@kata/broker";
import { z } from "zod";
import { writeAtomic } from "./atomic-file.ts";

const NatsSecretsSchema = z.object({
  brokerPassword: z.string(),
  authSeed: z.string(),
  authIssuer: z.string(),
  xkeySeed: z.string(),
  xkey: z.string(),
});

/** The secrets of an earlier start, or new ones: kept in a file that its owner alone can read. */
export async function keepNatsSecrets(path: string): Promise<NatsSecrets> {
  const kept = await readSecrets(path);
  if (kept !== undefined) return kept;
  const made = createNatsSecrets();
  await writeAtomic(path, `${JSON.stringify(made, undefined, 2)}\n`);
  return made;
}

async function readSecrets(path: string): Promise<NatsSecrets | undefined> {
  try {
    return NatsSecretsSchema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    // The first start, or a file that somebody has broken. Nobody else knows them: new ones do as well.
    return undefined;
  }
}
