import { z } from "zod";
import { type CreatedKey, type KeyInfo, problemOf } from "../auth/keys/key-store.ts";
import { SCOPES, type Scope } from "../auth/principal.ts";
import { ask, askAll, tell } from "./admin-http.ts";
import { adminSettings } from "./admin-settings.ts";
import { parseDuration } from "./duration.ts";
import { keyIdOf } from "./key-id.ts";
import { withKeys } from "./operator.ts";
import { plain, plainJson } from "./plain.ts";
import type { CommandLine } from "./settings.ts";
import { UsageError } from "./usage-error.ts";

export interface KeysOptions extends CommandLine {
  readonly json?: boolean;
}

export interface CreateOptions extends KeysOptions {
  readonly scope: readonly string[];
  readonly channel?: readonly string[];
  readonly name?: string;
  readonly expires?: string;
}

export interface RotateOptions extends KeysOptions {
  readonly grace?: string;
}

/** A key as the broker's JSON tells it: times in RFC 3339. */
const ShownKeySchema = z.looseObject({
  keyId: z.string(),
  scopes: z.array(z.string()),
  channels: z.array(z.string()).optional(),
  name: z.string().optional(),
  createdAt: z.string(),
  expiresAt: z.string().nullable(),
});
type ShownKey = z.infer<typeof ShownKeySchema>;
const PageSchema = z
  .object({ keys: z.array(ShownKeySchema), next: z.string().optional() })
  .transform(({ keys: entries, next }) => ({ entries, next }));
const NewKeySchema = ShownKeySchema.extend({ key: z.string() });
type NewKey = z.infer<typeof NewKeySchema>;

/** [KEYS-3] */
const MAX_GRACE_MS = 366 * 86_400_000;

export async function createKey(options: CreateOptions): Promise<number> {
  for (const scope of options.scope) {
    if (!SCOPES.includes(scope as Scope)) throw new UsageError(`${scope} is no scope: ${SCOPES.join(", ")}`);
  }
  const scopes = options.scope as Scope[];
  const { channel: channels, name } = options;
  const expiresAt =
    options.expires === undefined ? undefined : Date.now() + parseDuration("--expires", options.expires);
  const to = adminSettings(options, process.env);
  if (to.nats === undefined) {
    const body = {
      scopes,
      channels,
      name,
      ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt).toISOString() }),
    };
    return tellNew(await ask(to, { method: "POST", path: "/v1/keys", body }, NewKeySchema), options);
  }
  const wish = { teamId: to.teamId, scopes, channels, name, expiresAt };
  const problem = problemOf(wish, Date.now());
  if (problem !== undefined) throw new UsageError(problem);
  return tellNew(shown(await withKeys(to.nats, (keys) => keys.create(wish))), options);
}

export async function rotateKey(key: string, options: RotateOptions): Promise<number> {
  const keyId = keyIdOf(key);
  const graceMs = options.grace === undefined ? 0 : parseDuration("--grace", options.grace);
  if (graceMs > MAX_GRACE_MS) throw new UsageError("--grace is 366d at most");
  const to = adminSettings(options, process.env);
  if (to.nats === undefined) {
    const request = {
      method: "POST",
      path: `/v1/keys/${keyId}/rotate`,
      body: { graceSeconds: graceMs / 1_000 },
    } as const;
    return tellNew(await ask(to, request, NewKeySchema), options);
  }
  const { teamId } = to;
  const rotated = await withKeys(to.nats, (keys) => keys.rotate(teamId, keyId, graceMs));
  if (rotated === undefined) throw noSuchKey(teamId, keyId);
  return tellNew(shown(rotated), options);
}

export async function revokeKey(key: string, options: KeysOptions): Promise<number> {
  const keyId = keyIdOf(key);
  const to = adminSettings(options, process.env);
  if (to.nats === undefined) await tell(to, { method: "DELETE", path: `/v1/keys/${keyId}` });
  else {
    const { teamId } = to;
    if (!(await withKeys(to.nats, (keys) => keys.revoke(teamId, keyId)))) throw noSuchKey(teamId, keyId);
  }
  process.stdout.write(`${keyId} is revoked\n`);
  return 0;
}

export async function listKeys(options: KeysOptions): Promise<number> {
  const to = adminSettings(options, process.env);
  let keys: ShownKey[];
  if (to.nats === undefined) {
    keys = await askAll(to, "/v1/keys", PageSchema);
  } else {
    const { teamId } = to;
    keys = await withKeys(to.nats, async (store) => store.list(teamId).map(shown));
  }
  if (options.json === true) process.stdout.write(`${plainJson(JSON.stringify(keys))}\n`);
  else for (const key of keys) process.stdout.write(`${line(key)}\n`);
  return 0;
}

function noSuchKey(teamId: string, keyId: string): UsageError {
  return new UsageError(`team ${teamId} has no key ${keyId}: "kata keys list" shows those it has`);
}

/** Said once: nobody can look it up again. The key alone is on stdout. */
function tellNew(key: NewKey, { json }: KeysOptions): number {
  if (json === true) process.stdout.write(`${plainJson(JSON.stringify(key))}\n`);
  else {
    process.stdout.write(`${plain(key.key)}\n`);
    process.stderr.write(`kata: ${line(key)}; the key is shown this once\n`);
  }
  return 0;
}

/** One line; a name is anybody's text. */
function line({ keyId, scopes, channels, name, createdAt, expiresAt }: ShownKey): string {
  const parts = [keyId, scopes.join(","), ...(channels === undefined ? [] : [channels.join(",")])];
  parts.push(`made ${createdAt}`, expiresAt === null ? "never expires" : `expires ${expiresAt}`);
  return plain([...parts, ...(name === undefined ? [] : [JSON.stringify(name)])].join("  "));
}

function shown<T extends KeyInfo | CreatedKey>({ createdAt, expiresAt, ...rest }: T) {
  return {
    ...rest,
    scopes: [...rest.scopes],
    channels: rest.channels && [...rest.channels],
    createdAt: new Date(createdAt).toISOString(),
    expiresAt: expiresAt === undefined ? null : new Date(expiresAt).toISOString(),
  };
}
