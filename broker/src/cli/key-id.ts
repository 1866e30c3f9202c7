import { isId } from "@kata/protocol/wire";
import { parseApiKey } from "../auth/keys/api-key.ts";
import { UsageError } from "./usage-error.ts";

/**
 * The id of the key that is meant. Whoever finds a key where it should not be has the whole of it: its secret is taken
 * off, it must not get into a URL or a line.
 *
 * @throws UsageError for what is no id
 */
export function keyIdOf(text: string): string {
  const keyId = text.startsWith("kat_") ? parseApiKey(text)?.keyId : text;
  if (!isId(keyId)) throw new UsageError(`that is no keyId: "kata keys list" shows them`);
  return keyId;
}
