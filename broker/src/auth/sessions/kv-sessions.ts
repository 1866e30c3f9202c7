import { setTimeout as sleep } from "node:timers/promises";
import { isId } from "@kata/protocol/wire";
import { type Bucket, StoreUnavailableError } from "../../store/bucket.ts";
import { Mirror } from "../../store/mirror.ts";
import type { SessionStore } from "../adapters.ts";
import type { SessionPrincipal } from "../principal.ts";
import { type Revocation, Revocations } from "../revocation.ts";
import { TeamQuota } from "../team-quota.ts";
import { createSessionId, hashSessionId, isSessionHash } from "./session-id.ts";
import { decodeSession, encodeSession, isTime, isUserId, type SessionRecord } from "./session-record.ts";

/** The bucket that holds the sessions. */
export const SESSIONS_BUCKET = "KATA_SESSIONS";

export interface KvSessionsOptions {
  readonly bucket: Bucket;
  /** Between two looks at whether every change has come, milliseconds. */
  readonly auditIntervalMs: number;
  /** How long sessions count while the bucket cannot be reached, milliseconds. */
  readonly staleMs: number;
  /** How many sessions a team may have, expired ones included until they are deleted; default: no limit. */
  readonly maxPerTeam?: number | undefined;
  /** Between two searches for sessions that expired long ago, milliseconds; default 600,000. */
  readonly sweepIntervalMs?: number | undefined;
  /** Told once of each key whose value is no session; the key is the hash of an id. Must not throw. */
  readonly onUnreadable?: ((key: string) => void) | undefined;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

/** How often a revocation is tried that somebody else was faster than. */
const ATTEMPTS = 5;
/** However many ids come that are not known, the bucket is asked about them only so often, milliseconds. */
const ROUND_MS = 10;
/** So long after its end a session is deleted: a broker whose clock is wrong must not end those that are valid. */
const KEPT_MS = 86_400_000;
const MAX_SWEPT = 1_000;
/** So many unreadable keys are told one by one. */
const MAX_TOLD = 1_000;

/**
 * Sessions with opaque ids, in a bucket that every broker watches: the SHA-256 of the id, in hex, with `{userId, teamId,
 * expiresAt}` as JSON. Whoever may write the bucket may put them there; {@link KvSessions.create} is one way.
 *
 * All of them are held in memory (some 300 bytes each): a mass reconnect asks NATS nothing, nor does a guessed id, and
 * what was deleted while NATS was away is found by comparing. An id that is not known yet may have been made by another
 * broker just before, so the answer waits until everything that was written by then has come.
 */
export class KvSessions implements Pick<SessionStore, "verifySession" | "onRevoked"> {
  readonly #bucket: Bucket;
  readonly #now: () => number;
  readonly #mirror: Mirror<SessionRecord>;
  readonly #revocations: Revocations;
  readonly #quota: TeamQuota;
  readonly #sweep: NodeJS.Timeout;
  /** The next comparison with the bucket, for all who ask before it begins. */
  #round: Promise<void> | undefined;
  #before: Promise<unknown> = Promise.resolve();

  private constructor(
    options: KvSessionsOptions,
    mirror: Mirror<SessionRecord>,
    revocations: Revocations,
    quota: TeamQuota,
  ) {
    const { bucket, now = Date.now, sweepIntervalMs = 600_000 } = options;
    this.#bucket = bucket;
    this.#now = now;
    this.#mirror = mirror;
    this.#revocations = revocations;
    this.#quota = quota;
    this.#sweep = setInterval(() => void this.#deleteOld(), sweepIntervalMs);
    this.#sweep.unref();
  }

  /** @throws StoreUnavailableError if the bucket cannot be read */
  static async open(options: KvSessionsOptions): Promise<KvSessions> {
    const { bucket, auditIntervalMs, staleMs, onUnreadable } = options;
    const revocations = new Revocations();
    const quota = new TeamQuota("sessions", options.maxPerTeam ?? 0);
    const told = new Set<string>();
    const mirror = await Mirror.open<SessionRecord>({
      bucket,
      auditIntervalMs,
      staleMs,
      decode(value, key) {
        const session = decodeSession(value);
        if (session === undefined && !told.has(key) && told.size < MAX_TOLD) {
          told.add(key);
          onUnreadable?.(key);
        }
        return session;
      },
      onChange(key, now, before) {
        quota.changed(now && { teamId: now.teamId, place: key }, before && { teamId: before.teamId, place: key });
        // Where it is somebody else's now, or ends at another time, those who came with it come again.
        if (before !== undefined && !sameSession(now, before)) revocations.tell({ type: "session", sessionId: key });
      },
    });
    return new KvSessions(options, mirror, revocations, quota);
  }

  /** @throws StoreUnavailableError if it is not known which sessions there are now */
  async verifySession(sessionId: string): Promise<SessionPrincipal | undefined> {
    const hash = hashSessionId(sessionId);
    if (hash === undefined) return undefined;
    let session = this.#mirror.get(hash);
    if (session === undefined) {
      await this.#caughtUp();
      session = this.#mirror.get(hash);
    }
    return session && { type: "session_user", ...session, sessionId: hash };
  }

  onRevoked(listener: (revocation: Revocation) => void): () => void {
    return this.#revocations.listen(listener);
  }

  /**
   * Makes a session and gives its id: the only moment when it is known. `expiresAt` is in milliseconds since 1970.
   *
   * @throws TypeError for what no session can be, QuotaError, StoreUnavailableError
   */
  async create({ userId, teamId, expiresAt }: SessionRecord): Promise<string> {
    if (!isUserId(userId)) throw new TypeError("a userId has 1 to 256 characters");
    if (!isId(teamId)) throw new TypeError("a team is [A-Za-z0-9_-], 1 to 128 characters");
    if (!isTime(expiresAt) || expiresAt <= this.#now()) throw new TypeError("expiresAt is a time to come");
    this.#quota.check(teamId);
    const sessionId = createSessionId();
    const revision = await this.#bucket.create(keyOf(sessionId), encodeSession({ userId, teamId, expiresAt }));
    if (revision === undefined) throw new Error("the id of the session was not free");
    await this.#mirror.reached(revision);
    return sessionId;
  }

  /**
   * Ends a session, named by its id or by the hash of it (`sessionId` of the principal). Whether there was one.
   *
   * @throws StoreUnavailableError
   */
  async revoke(session: string): Promise<boolean> {
    const key = isSessionHash(session) ? session : hashSessionId(session);
    if (key === undefined) return false;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const entry = await this.#bucket.get(key);
      if (entry === undefined) return false;
      if (!(await this.#bucket.delete(key, entry.revision))) continue;
      await this.#mirror.caughtUp();
      return true;
    }
    throw new Error("the session was changed by others again and again: try once more");
  }

  /** Whose the session is, named by its id or by the hash of it; `undefined` if there is none. @throws StoreUnavailableError */
  async teamOf(session: string): Promise<string | undefined> {
    const key = isSessionHash(session) ? session : hashSessionId(session);
    const entry = key === undefined ? undefined : await this.#bucket.get(key);
    return entry && decodeSession(entry.value)?.teamId;
  }

  /** The connection to the store is back. */
  reconnected(): Promise<void> {
    return this.#mirror.reconnected();
  }

  close(): void {
    clearInterval(this.#sweep);
    this.#mirror.close();
  }

  #caughtUp(): Promise<void> {
    this.#round ??= this.#before.then(() => {
      this.#round = undefined;
      const caughtUp = this.#mirror.caughtUp();
      this.#before = Promise.all([caughtUp.catch(() => undefined), sleep(ROUND_MS, undefined, { ref: false })]);
      return caughtUp;
    });
    return this.#round;
  }

  async #deleteOld(): Promise<void> {
    const until = this.#now() - KEPT_MS;
    try {
      const old = [...this.#mirror.entries()].filter(([, { expiresAt }]) => expiresAt <= until).slice(0, MAX_SWEPT);
      for (const [key, session] of old) {
        const entry = await this.#bucket.get(key);
        if (entry !== undefined && sameSession(decodeSession(entry.value), session)) {
          await this.#bucket.delete(key, entry.revision);
        }
      }
    } catch (error) {
      // The next search finds them as well.
      if (!(error instanceof StoreUnavailableError)) throw error;
    }
  }
}

function sameSession(a: SessionRecord | undefined, b: SessionRecord): boolean {
  return a !== undefined && a.userId === b.userId && a.teamId === b.teamId && a.expiresAt === b.expiresAt;
}

function keyOf(sessionId: string): string {
  const hash = hashSessionId(sessionId);
  if (hash === undefined) throw new TypeError("no session id");
  return hash;
}
