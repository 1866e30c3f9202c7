import { isId } from "@kata/protocol/wire";
import { z } from "zod";

/** The last moment that a date can name, milliseconds since 1970 (ECMA-262 §21.4.1.1). */
const LAST_TIME = 8.64e15;
const MAX_USER_ID = 256;

/** Whether it names a user: 1 to 256 characters. */
export function isUserId(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= MAX_USER_ID;
}

/** Whether it is a time in whole milliseconds since 1970. */
export function isTime(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= LAST_TIME;
}

/** Who a session is. Fields that are not known are ignored. */
export const SessionSchema = z.object({
  userId: z.custom<string>(isUserId),
  teamId: z.custom<string>(isId),
  /** Milliseconds since 1970. */
  expiresAt: z.custom<number>(isTime),
});
export type SessionRecord = z.infer<typeof SessionSchema>;

export function encodeSession({ userId, teamId, expiresAt }: SessionRecord): Uint8Array {
  return Buffer.from(JSON.stringify({ userId, teamId, expiresAt }));
}

/** `undefined` for what is no session: it lets nobody in. */
export function decodeSession(value: Uint8Array): SessionRecord | undefined {
  try {
    const parsed = SessionSchema.safeParse(JSON.parse(Buffer.from(value).toString("utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
