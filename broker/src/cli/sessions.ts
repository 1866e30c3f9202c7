import { z } from "zod";
import { hashSessionId, isSessionHash } from "../auth/sessions/session-id.ts";
import { isUserId } from "../auth/sessions/session-record.ts";
import { ask, tell } from "./admin-http.ts";
import { adminSettings } from "./admin-settings.ts";
import { parseDuration } from "./duration.ts";
import { withSessions } from "./operator.ts";
import { plain, plainJson } from "./plain.ts";
import type { CommandLine } from "./settings.ts";
import { UsageError } from "./usage-error.ts";

export interface CreateSessionOptions extends CommandLine {
  readonly user: string;
  readonly expires: string;
  readonly json?: boolean;
}

/** A session as the broker's JSON tells it. */
const NewSessionSchema = z.looseObject({
  sessionId: z.string(),
  userId: z.string(),
  teamId: z.string(),
  expiresAt: z.string(),
});

/** Lets a user in for a while; the session's id alone is on stdout. */
export async function createSession(options: CreateSessionOptions): Promise<number> {
  const userId = options.user;
  if (!isUserId(userId)) throw new UsageError("--user has 1 to 256 characters");
  const expiresAt = Date.now() + parseDuration("--expires", options.expires);
  const to = adminSettings(options, process.env);
  const end = new Date(expiresAt).toISOString();
  let made: z.infer<typeof NewSessionSchema>;
  if (to.nats === undefined) {
    const request = { method: "POST", path: "/v1/sessions", body: { userId, expiresAt: end } } as const;
    made = await ask(to, request, NewSessionSchema);
  } else {
    const { teamId } = to;
    const sessionId = await withSessions(to.nats, (sessions) => sessions.create({ userId, teamId, expiresAt }));
    made = { sessionId, userId, teamId, expiresAt: end };
  }
  if (options.json === true) process.stdout.write(`${plainJson(JSON.stringify(made))}\n`);
  else {
    process.stdout.write(`${plain(made.sessionId)}\n`);
    const about = `${JSON.stringify(made.userId)} of team ${made.teamId}, until ${made.expiresAt}`;
    process.stderr.write(`kata: ${plain(about)}; the id is shown this once\n`);
  }
  return 0;
}

/** @param session its id, or the SHA-256 of the id in hex; only that gets into a URL */
export async function revokeSession(session: string, options: CommandLine): Promise<number> {
  const hash = isSessionHash(session) ? session : hashSessionId(session);
  if (hash === undefined) {
    throw new UsageError("that is no session id: kss_…, as it was made, or the SHA-256 of it in hex");
  }
  const to = adminSettings(options, process.env);
  if (to.nats === undefined) await tell(to, { method: "DELETE", path: `/v1/sessions/${hash}` });
  else {
    const { teamId } = to;
    const revoked = await withSessions(
      to.nats,
      async (sessions) => (await sessions.teamOf(hash)) === teamId && (await sessions.revoke(hash)),
    );
    if (!revoked) throw new UsageError(`team ${teamId} has no such session`);
  }
  process.stdout.write("the session is revoked\n");
  return 0;
}
