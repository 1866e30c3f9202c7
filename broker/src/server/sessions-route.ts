import { isId } from "@kata/protocol/wire";
import { z } from "zod";
import type { KvSessions } from "../auth/sessions/kv-sessions.ts";
import type { AdminRequest, Outcome } from "./admin-route.ts";

/** What the routes need of the sessions; times are milliseconds since 1970. */
export type SessionAdmin = Pick<KvSessions, "create" | "revoke" | "teamOf">;

const NewSessionSchema = z.strictObject({
  userId: z.string().min(1).max(256),
  expiresAt: z.iso.datetime({ offset: true }),
});

const NO_SUCH_SESSION = { code: "not_found", message: "your team has no such session" } as const;

/** `POST /v1/sessions` [SESSIONS-1]. */
export async function createSession(sessions: SessionAdmin, { principal, body }: AdminRequest): Promise<Outcome> {
  const parsed = NewSessionSchema.safeParse(body);
  if (!parsed.success) {
    return { code: "bad_request", message: "a session is asked for as {userId, expiresAt}, expiresAt in RFC 3339" };
  }
  const { userId, expiresAt } = parsed.data;
  const { teamId } = principal;
  try {
    const sessionId = await sessions.create({ userId, teamId, expiresAt: Date.parse(expiresAt) });
    const body = { sessionId, userId, teamId, expiresAt: new Date(expiresAt).toISOString() };
    return { status: 201, body, changed: "a session was made" };
  } catch (error) {
    if (error instanceof TypeError) return { code: "bad_request", message: error.message };
    throw error;
  }
}

/** `DELETE /v1/sessions/{sessionId}` [SESSIONS-2]. */
export async function revokeSession(sessions: SessionAdmin, { principal, parameter }: AdminRequest): Promise<Outcome> {
  if (!isId(parameter) || (await sessions.teamOf(parameter)) !== principal.teamId) return NO_SUCH_SESSION;
  return (await sessions.revoke(parameter)) ? { status: 204, changed: "a session was revoked" } : NO_SUCH_SESSION;
}
