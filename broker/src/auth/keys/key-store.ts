import { isId } from "@kata/protocol/wire";
import type { Bucket } from "../../store/bucket.ts";
import { Mirror } from "../../store/mirror.ts";
import type { ApiKeyAuth } from "../adapters.ts";
import { type ApiKeyPrincipal, isChannelLimit, SCOPES, type Scope } from "../principal.ts";
import { type Revocation, Revocations } from "../revocation.ts";
import { type PageOptions, type TeamEntry, TeamQuota } from "../team-quota.ts";
import { createKeyId, createSecret, equalHashes, formatApiKey, hashSecret, parseApiKey } from "./api-key.ts";
import { decodeKeyRecord, encodeKeyRecord, type KeyRecord, type StoredSecret } from "./key-record.ts";

/** The bucket that holds the keys. */
export const KEYS_BUCKET = "KATA_KEYS";

/** A key as it may be shown; times are milliseconds since 1970. */
export interface KeyInfo {
  readonly keyId: string;
  readonly teamId: string;
  readonly scopes: readonly Scope[];
  readonly channels?: readonly string[];
  readonly name?: string;
  readonly createdAt: number;
  readonly expiresAt?: number;
}

/** A key that was just made: the only moment when it is known. */
export interface CreatedKey extends KeyInfo {
  readonly key: string;
}

export interface NewKey {
  readonly teamId: string;
  readonly scopes: readonly Scope[];
  /** The only channels it may use: `spec:s1`, or all of a kind, `spec:*`. Default: all of the team. */
  readonly channels?: readonly string[] | undefined;
  readonly name?: string | undefined;
  /** Default: never. */
  readonly expiresAt?: number | undefined;
}

export interface KeyStoreOptions {
  readonly bucket: Bucket;
  /** Between two looks at whether every change has come, milliseconds. */
  readonly auditIntervalMs: number;
  /** How long keys count while the bucket cannot be reached, milliseconds. */
  readonly staleMs: number;
  /** How many keys a team may have; default: no limit. */
  readonly maxPerTeam?: number | undefined;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly now?: () => number;
}

/** How often a write is tried that somebody else was faster than. */
const ATTEMPTS = 5;
const OVERTAKEN = "the key was changed by others again and again: try once more";

/** The API keys of all teams: hashes in a bucket that every broker watches. */
export class KeyStore implements ApiKeyAuth {
  readonly #bucket: Bucket;
  readonly #now: () => number;
  readonly #mirror: Mirror<KeyRecord>;
  readonly #revocations: Revocations;
  readonly #quota: TeamQuota;

  private constructor(
    { bucket, now = Date.now }: KeyStoreOptions,
    mirror: Mirror<KeyRecord>,
    revocations: Revocations,
    quota: TeamQuota,
  ) {
    this.#bucket = bucket;
    this.#now = now;
    this.#mirror = mirror;
    this.#revocations = revocations;
    this.#quota = quota;
  }

  /** @throws StoreUnavailableError if the bucket cannot be read */
  static async open(options: KeyStoreOptions): Promise<KeyStore> {
    const revocations = new Revocations();
    const quota = new TeamQuota("API keys", options.maxPerTeam ?? 0);
    const mirror = await Mirror.open<KeyRecord>({
      ...options,
      decode: decodeKeyRecord,
      onChange(keyId, now, before) {
        quota.changed(now && entryOf(keyId, now), before && entryOf(keyId, before));
        for (const revocation of takenBack(keyId, now, before)) revocations.tell(revocation);
      },
    });
    return new KeyStore(options, mirror, revocations, quota);
  }

  /** @throws StoreUnavailableError if it is not known which keys are valid now */
  async verifyKey(key: string): Promise<ApiKeyPrincipal | undefined> {
    const parsed = parseApiKey(key);
    if (parsed === undefined) return undefined;
    const record = this.#mirror.get(parsed.keyId);
    const hash = hashSecret(parsed.secret);
    const secret = record?.secrets.find((each) => equalHashes(each.hash, hash));
    if (record === undefined || secret === undefined) return undefined;
    const expiresAt = earlier(record.expiresAt, secret.expiresAt);
    if (expiresAt !== undefined && expiresAt <= this.#now()) return undefined;
    const { teamId, scopes, channels } = record;
    return {
      type: "api_key",
      teamId,
      keyId: parsed.keyId,
      scopes,
      secretId: secret.secretId,
      ...(channels === undefined ? {} : { channels }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    };
  }

  /** @throws StoreUnavailableError */
  has(keyId: string): boolean {
    return this.#mirror.get(keyId) !== undefined;
  }

  onRevoked(listener: (revocation: Revocation) => void): () => void {
    return this.#revocations.listen(listener);
  }

  /** @throws TypeError for what no key can be, QuotaError, StoreUnavailableError */
  async create({ teamId, scopes, channels, name, expiresAt }: NewKey): Promise<CreatedKey> {
    const now = this.#now();
    const problem = problemOf({ teamId, scopes, channels, name, expiresAt }, now);
    if (problem !== undefined) throw new TypeError(problem);
    this.#quota.check(teamId);
    const secret = createSecret();
    const record: KeyRecord = {
      teamId,
      scopes: SCOPES.filter((scope) => scopes.includes(scope)),
      ...(channels === undefined ? {} : { channels: [...channels] }),
      ...(name === undefined ? {} : { name }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
      createdAt: now,
      secrets: [{ secretId: createKeyId(), hash: hashSecret(secret) }],
    };
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const keyId = createKeyId();
      const revision = await this.#bucket.create(keyId, encodeKeyRecord(record));
      if (revision === undefined) continue;
      await this.#mirror.reached(revision);
      return { ...infoOf(keyId, record), key: formatApiKey({ keyId, secret }) };
    }
    throw new Error("no id for the key was free");
  }

  /** A team's keys, oldest first. @throws StoreUnavailableError */
  list(teamId: string): KeyInfo[] {
    return [...this.page(teamId, { limit: Number.POSITIVE_INFINITY }).keys];
  }

  /** Some of them, and behind which the next page begins, if there is one. @throws StoreUnavailableError */
  page(
    teamId: string,
    options: PageOptions,
  ): { readonly keys: readonly KeyInfo[]; readonly next?: string | undefined } {
    this.#mirror.mustBeFresh();
    const { places, more } = this.#quota.page(teamId, options);
    const keys = places.flatMap((place) => {
      const keyId = place.slice(TIME_DIGITS + 1);
      const record = this.#mirror.get(keyId);
      return record === undefined ? [] : [infoOf(keyId, record)];
    });
    return { keys, next: more ? places.at(-1) : undefined };
  }

  /**
   * Gives a key a new secret; the one before counts for `graceMs` more. `undefined` if the team has no such key.
   *
   * @throws StoreUnavailableError
   */
  async rotate(teamId: string, keyId: string, graceMs = 0): Promise<CreatedKey | undefined> {
    const secret = createSecret();
    const record = await this.#change(teamId, keyId, (before) => {
      const until = this.#now() + graceMs;
      const [newest] = before.secrets as [StoredSecret, ...StoredSecret[]];
      const kept = graceMs > 0 ? [{ ...newest, expiresAt: earlier(newest.expiresAt, until) ?? until }] : [];
      return { ...before, secrets: [{ secretId: createKeyId(), hash: hashSecret(secret) }, ...kept] };
    });
    return record && { ...infoOf(keyId, record), key: formatApiKey({ keyId, secret }) };
  }

  /** Whether the team had such a key; it lets nobody in any more. @throws StoreUnavailableError */
  async revoke(teamId: string, keyId: string): Promise<boolean> {
    if (!isId(keyId)) return false;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const entry = await this.#bucket.get(keyId);
      if (entry === undefined || decodeKeyRecord(entry.value)?.teamId !== teamId) return false;
      if (!(await this.#bucket.delete(keyId, entry.revision))) continue;
      await this.#mirror.caughtUp();
      return true;
    }
    throw new Error(OVERTAKEN);
  }

  /** The connection to the store is back. */
  reconnected(): Promise<void> {
    return this.#mirror.reconnected();
  }

  close(): void {
    this.#mirror.close();
  }

  async #change(
    teamId: string,
    keyId: string,
    change: (before: KeyRecord) => KeyRecord,
  ): Promise<KeyRecord | undefined> {
    if (!isId(keyId)) return undefined;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const entry = await this.#bucket.get(keyId);
      const before = entry && decodeKeyRecord(entry.value);
      if (entry === undefined || before?.teamId !== teamId) return undefined;
      const after = change(before);
      const revision = await this.#bucket.update(keyId, encodeKeyRecord(after), entry.revision);
      if (revision === undefined) continue;
      await this.#mirror.reached(revision);
      return after;
    }
    throw new Error(OVERTAKEN);
  }
}

/** As many as the greatest time that is a whole number has. */
const TIME_DIGITS = 16;

/** The oldest comes first. */
function entryOf(keyId: string, { teamId, createdAt }: KeyRecord): TeamEntry {
  return { teamId, place: `${String(createdAt).padStart(TIME_DIGITS, "0")}.${keyId}` };
}

/** What was let in by the old word of a key, and would not be by the new one. */
function takenBack(keyId: string, now: KeyRecord | undefined, before: KeyRecord | undefined): Revocation[] {
  if (before === undefined) return [];
  // Where what a key may do has changed, those who came with the old word come again.
  if (now === undefined || !sameRights(now, before)) return [{ type: "api_key", keyId }];
  return before.secrets.flatMap(({ secretId, hash, expiresAt }) => {
    const left = now.secrets.find((each) => each.hash === hash);
    if (left !== undefined && left.expiresAt === expiresAt) return [];
    return [{ type: "api_key", keyId, secretId, at: left?.expiresAt } as const];
  });
}

function sameRights(a: KeyRecord, b: KeyRecord): boolean {
  const rights = ({ teamId, scopes, channels, expiresAt }: KeyRecord) =>
    JSON.stringify([teamId, scopes, channels ?? null, expiresAt ?? null]);
  return rights(a) === rights(b);
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

function infoOf(keyId: string, { teamId, scopes, channels, name, createdAt, expiresAt }: KeyRecord): KeyInfo {
  return {
    keyId,
    teamId,
    scopes,
    ...(channels === undefined ? {} : { channels }),
    ...(name === undefined ? {} : { name }),
    createdAt,
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

/** What is wrong with a wish for a key, one line for a person; `undefined` if nothing is. */
export function problemOf({ teamId, scopes, channels, name, expiresAt }: NewKey, now: number): string | undefined {
  if (!isId(teamId)) return "a team is [A-Za-z0-9_-], 1 to 128 characters";
  if (scopes.length === 0 || !scopes.every((scope) => SCOPES.includes(scope))) {
    return `scopes are one or more of ${SCOPES.join(", ")}`;
  }
  if (channels !== undefined && (channels.length === 0 || channels.length > 100 || !channels.every(isChannelLimit))) {
    return "channels are 1 to 100 of spec:{id}, agent:{id}, team:{id}, or spec:*, agent:*, team:*";
  }
  if (channels !== undefined && scopes.includes("admin"))
    return "a key with the scope admin cannot be limited to channels";
  if (name !== undefined && (name.length > 200 || name === "")) return "a name has 1 to 200 characters";
  if (expiresAt !== undefined && !(Number.isSafeInteger(expiresAt) && expiresAt > now)) {
    return "expiresAt is a time to come";
  }
  return undefined;
}
