import { isId } from "@kata/protocol/wire";
import { z } from "zod";
import { isChannelLimit, SCOPES } from "../principal.ts";

const timeMs = z.int().min(0);

const SecretSchema = z.object({
  /** Names it; no secret. */
  secretId: z.string().min(1).max(64),
  hash: z.string().length(43),
  /** Set by a rotation: until when the one before still counts. */
  expiresAt: timeMs.optional(),
});

/** What the store keeps of a key, never the key itself. Times are milliseconds since 1970. */
export const KeyRecordSchema = z.object({
  teamId: z.string().refine(isId),
  scopes: z.array(z.enum(SCOPES)).min(1),
  channels: z.array(z.string().refine(isChannelLimit)).min(1).optional(),
  /** For people: what it is used for. */
  name: z.string().max(200).optional(),
  createdAt: timeMs,
  expiresAt: timeMs.optional(),
  secrets: z.array(SecretSchema).min(1).max(2),
});
export type KeyRecord = z.infer<typeof KeyRecordSchema>;
export type StoredSecret = KeyRecord["secrets"][number];

export function encodeKeyRecord(record: KeyRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}

/** `undefined` for what is no record: such a key lets nobody in. */
export function decodeKeyRecord(value: Uint8Array): KeyRecord | undefined {
  try {
    const parsed = KeyRecordSchema.safeParse(JSON.parse(Buffer.from(value).toString("utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
