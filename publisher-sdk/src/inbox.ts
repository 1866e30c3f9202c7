import { createHash } from "node:crypto";

/**
 * The prefix of the inbox that a broker allows to whoever presents this key. It is made from the key, so that nobody
 * without it can name the inbox, and both sides know it.
 */
export function inboxPrefixOf(apiKey: string): string {
  return `_INBOX_${createHash("sha256").update(`kata-inbox ${apiKey}`).digest("hex").slice(0, 32)}`;
}
