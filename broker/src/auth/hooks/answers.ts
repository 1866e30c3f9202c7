import { isId } from "@kata/protocol/wire";
import { z } from "zod";
import { type ApiKeyPrincipal, isChannelLimit, SCOPES, type SessionPrincipal } from "../principal.ts";
import { isTime, SessionSchema } from "../sessions/session-record.ts";

// What an application answers its hook's questions with. Fields that are not known are ignored.

const id = z.custom<string>(isId);
const name = z.string().min(1).max(256);

const ApiKeyAnswer = z.object({
  teamId: id,
  keyId: id,
  scopes: z.array(z.enum(SCOPES)),
  channels: z.array(z.custom<string>(isChannelLimit)).max(100).optional(),
  /** Milliseconds since 1970. */
  expiresAt: z.custom<number>(isTime).optional(),
  secretId: name.optional(),
});
const SessionAnswer = SessionSchema.extend({ sessionId: name.optional() });
const OwnerAnswer = z.object({ teamId: id });

/** `undefined` for what is no answer. */
export function apiKeyOf(json: unknown): ApiKeyPrincipal | undefined {
  const { data } = ApiKeyAnswer.safeParse(json);
  if (data === undefined) return undefined;
  const { teamId, keyId, scopes, channels, expiresAt, secretId } = data;
  return {
    type: "api_key",
    teamId,
    keyId,
    scopes,
    ...(channels === undefined ? {} : { channels }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(secretId === undefined ? {} : { secretId }),
  };
}

/** `undefined` for what is no answer. */
export function userOf(json: unknown): SessionPrincipal | undefined {
  const { data } = SessionAnswer.safeParse(json);
  if (data === undefined) return undefined;
  const { sessionId, ...user } = data;
  return { type: "session_user", ...user, ...(sessionId === undefined ? {} : { sessionId }) };
}

/** `undefined` for what is no answer. */
export function ownerOf(json: unknown): string | undefined {
  return OwnerAnswer.safeParse(json).data?.teamId;
}
